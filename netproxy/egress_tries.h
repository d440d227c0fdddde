// The kernel's copy of the policy: fills the tries that the egress programs look destinations up
// in. bpf(2) on a map needs no privilege beyond its descriptor.
#pragma once

#include <vector>

#include "base/result.h"
#include "netproxy/kernel_policy.h"

namespace bailey::netproxy {

// Makes the two maps hold exactly `policy`. Prefixes are added and changed one by one before those
// that are not wanted any more go: never a moment without an answer.
Status FillEgressTries(int egress4, int egress6, const std::vector<KernelPrefix>& policy);

}  // namespace bailey::netproxy
