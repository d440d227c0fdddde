// InboundClient: somebody from outside who was admitted and whose connection has not gone on into
// the tenant's namespace yet.
#pragma once

#include "base/unique_fd.h"
#include "netproxy/accept_socket.h"
#include "netproxy/admission.h"

namespace bailey::netproxy {

struct InboundClient {
  AcceptedSocket accepted;
  UniqueFd inside;  // unbound and transparent, for its way on
  Admission::Place place;
};

}  // namespace bailey::netproxy
