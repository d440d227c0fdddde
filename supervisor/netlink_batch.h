// NetlinkBatch: several rtnetlink requests sent in one sendmsg and acknowledged one by one, in
// order. rtnetlink(7). Not thread-safe.
#pragma once

#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/ip_address.h"
#include "base/result.h"

namespace bailey::supervisor {

class NetlinkBatch {
 public:
  // Begins a request. `body` is the fixed part (ifinfomsg, rtmsg, …); `what` names it in an error.
  template <class Body>
  void Add(const char* what, uint16_t type, uint16_t flags, const Body& body) {
    Begin(what, type, flags, &body, sizeof body);
  }
  // Attributes of the request begun last.
  void Attribute(uint16_t type, const void* data, size_t size);
  void Attribute(uint16_t type, uint32_t value) { Attribute(type, &value, sizeof value); }
  void Attribute(uint16_t type, const IpAddress& address) {
    Attribute(type, address.bytes().data(), static_cast<size_t>(address.bits() / 8));
  }

  // Sends all to the calling thread's network namespace. The first refusal is the error.
  Status Send() const;
  // For a single request without NLM_F_DUMP: sends it and returns the first answer's payload
  // (header included).
  Result<std::vector<std::byte>> Ask() const;

 private:
  void Begin(const char* what, uint16_t type, uint16_t flags, const void* body, size_t size);
  nlmsghdr* Last();

  std::vector<std::byte> bytes_;
  size_t last_ = 0;
  std::vector<std::string> names_;
};

}  // namespace bailey::supervisor
