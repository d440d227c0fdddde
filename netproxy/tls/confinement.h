// What bailey-tls gives up before it takes the first client. Nothing of it can be taken back.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace bailey::netproxy {

// Prepares OpenSSL, so that it opens no file later; then an empty root, `uid` without privileges
// (BecomeUnprivileged), and a list of calls on descriptors that it has or is given: no socket but
// pairs of Unix stream sockets, no open, exec, connect or bind. Its network namespace is empty: the
// supervisor makes it so. A call beyond the list kills (under the sanitizers it is only logged).
// Needs root; single-threaded.
Status ConfineTls(uint32_t uid);

}  // namespace bailey::netproxy
