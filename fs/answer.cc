#include "fs/answer.h"

#include <string>

#include "base/log.h"

namespace bailey::fs {

void throw_exception_from_error(const Refusal& refusal, const boost::source_location& where) {
  LogError("value() of a refusal: errno " + std::to_string(refusal.number));
  CheckFailed(where.file_name(), static_cast<int>(where.line()), "answer.has_value()");
}

}  // namespace bailey::fs
