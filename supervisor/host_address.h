// HostAddress: the tenant's IP on the host. Either the host has it already (127/8 always), or it is
// added to an interface while the tenant runs; a note in the runtime directory, written before the
// address, says that we did and lets a later --clear undo it.
#pragma once

#include <string>

#include "base/ip_address.h"
#include "base/result.h"

namespace bailey::supervisor {

// The kernel would deliver packets for `ip` to this host (rtnetlink route of type local).
Result<bool> HostHasAddress(const IpAddress& ip);

// Makes sure that the host has `ip`; adds it to `interface` (/32 or /128) if it does not.
// EADDRNOTAVAIL, with a hint, if it does not and `interface` is empty.
Status AcquireAddress(const std::string& runtime_dir, const std::string& interface,
                      const IpAddress& ip);
// Whether AcquireAddress has added one: the host has it for the tenant's sake alone.
bool HasAddedAddress(const std::string& runtime_dir);
// Removes what AcquireAddress added, by its note; nothing if there is no note. Idempotent.
Status ReleaseAddress(const std::string& runtime_dir);

}  // namespace bailey::supervisor
