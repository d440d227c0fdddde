// SharedPorts: one listener on the host for many TCP ports of one tenant's address, by a BPF
// sk_lookup program in the calling thread's network namespace. A port costs one bit; one that is
// not on the list is refused by the kernel as ever. The host sees no socket at a port of the list:
// a program that binds one there is not refused, and gets nothing. The program goes away with this,
// or with our process. docs/DESIGN.md, "Published ports". Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>

#include "base/ip_address.h"
#include "base/result.h"
#include "base/unique_fd.h"

struct bailey_port_list;

namespace bailey::supervisor {

class SharedPorts {
 public:
  // `listener`: bound to `ip` and some port, listening. E2BIG: the kernel has 64 such programs in
  // one network namespace at most. Needs CAP_BPF and CAP_NET_ADMIN.
  static Result<std::unique_ptr<SharedPorts>> Attach(const IpAddress& ip, UniqueFd listener);
  ~SharedPorts();
  SharedPorts(const SharedPorts&) = delete;
  SharedPorts& operator=(const SharedPorts&) = delete;

  int listener() const { return listener_.get(); }
  // From now on connections to `port` are the listener's. EADDRINUSE if somebody else listens
  // there, be it on the wildcard. Again is no error.
  Status Add(uint16_t port);
  // From now on they are refused. What was accepted, or waits to be, stays.
  void Remove(uint16_t port);
  bool Contains(uint16_t port) const;

 private:
  SharedPorts(const IpAddress& ip, UniqueFd listener) : ip_(ip), listener_(std::move(listener)) {}
  Status Load();

  const IpAddress ip_;
  UniqueFd listener_, link_;
  uint16_t listener_port_ = 0;
  bailey_port_list* list_ = nullptr;  // mapped
};

}  // namespace bailey::supervisor
