// What to do about a supervisor that already owns the runtime directory: one whose tenant has ended
// makes way; one whose tenant lives does not.
#pragma once

#include <string>

#include "base/result.h"
#include "supervisor/runtime_lock.h"

namespace bailey::supervisor {

// The lock of `runtime_dir`, ours. EBUSY, with a hint, while another supervisor's tenant `name`
// lives there.
Result<RuntimeLock> TakeOver(const std::string& runtime_dir, const std::string& name);

}  // namespace bailey::supervisor
