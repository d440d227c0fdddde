// The system calls that exist for a tenant, and those of them that are denied, each with its
// reason. Data only: supervisor/tenant_filter.h compiles it, supervisor/seccomp_notify.h looks up
// in it which row has denied a call. Sources: syscalls(2), capabilities(7), and for what breaks
// programs, the profiles of Docker and systemd (@system-service).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "supervisor/allow.h"

namespace bailey::supervisor {

// Calls that are in no group and no row do not exist for a tenant: ENOSYS, uncounted, so that
// programs fall back. Among them on purpose: clone3 (its flags lie behind a pointer; C libraries
// fall back to clone), modify_ldt, uselib, memfd_secret, uprobe, the lsm_* family.
//
// A known call is allowed unless a row of DeniedCalls matches; the rows' names are known as well.
struct CallGroup {
  const char* reason;
  std::span<const char* const> names;
};
std::span<const CallGroup> KnownCalls();

// Which wall a denial is counted at: what would refuse it on a host where only that wall stood.
enum class DenialWall : uint8_t { kSeccomp, kNamespace, kCapability };

// `args[index] & mask == value`. The mask is as wide as the kernel looks: an int argument has 32
// bits, and a filter that compared 64 would let `1 << 32 | TIOCSTI` pass.
struct ArgumentTest {
  unsigned index;
  uint64_t mask, value;
};

struct DeniedCall {
  const char* name;
  std::vector<ArgumentTest> tests;  // all must hold; none: always
  int error;                        // what the caller gets
  DenialWall wall;
  const char* reason;
};
// In the order in which they are tried; the first that matches is the reason. They include what
// the supervisor carries out itself (sysinfo; where [allow] grants them, sethostname, raw sockets).
std::vector<DeniedCall> DeniedCalls(const Allow& allow);

bool Matches(const DeniedCall& row, std::span<const uint64_t, 6> args);

// The call's number on this architecture, or -1 where it has none (open on arm64).
int CallNumber(const char* name);

}  // namespace bailey::supervisor
