// NetLimits: how much of the network one tenant may use at a time. Plain values; 0: no limit.
#pragma once

#include <chrono>
#include <cstdint>

namespace bailey::netproxy {

struct NetLimits {
  uint64_t connection_rate = 0;   // new connections a second; out and in each have as many
  uint64_t destination_rate = 0;  // of those that go out, to one address
  uint64_t half_open = 0;         // connects that their destination has not answered yet
  uint64_t udp_flows = 0;
  uint64_t bytes_in = 0, bytes_out = 0;      // of payload, a second; in: what comes to the tenant
  std::chrono::milliseconds idle_timeout{};  // a connection on which nothing moves for so long ends
  bool operator==(const NetLimits&) const = default;
};

}  // namespace bailey::netproxy
