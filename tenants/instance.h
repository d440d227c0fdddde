// What there is once per runtime directory: the lock that keeps a second daemon out, the pid file
// that is the lock, and the listening sockets.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "tenants/config.h"

namespace bailey::tenants {

struct Instance {
  UniqueFd lock;     // $RUNTIME/baileyd.pid, locked as long as this lives
  UniqueFd api;      // $RUNTIME/api.sock, 0600
  UniqueFd metrics;  // TCP; empty when it is turned off
};

// Makes the directories (0700 state, 0711 runtime). EBUSY when another daemon runs here;
// EADDRINUSE, with a hint, when the metrics' address is taken.
Result<Instance> TakeInstance(const Paths& paths, const DaemonConfig& config);

}  // namespace bailey::tenants
