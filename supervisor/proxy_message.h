// What bailey-netproxy may ask for, as a value. The proxy reads the tenant's bytes and may have
// been taken over: everything here is bounded, and anything unexpected is an error. Pure.
// docs/DESIGN.md, "bailey-supervisor → bailey-netproxy".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/publish_rule.h"
#include "base/result.h"

namespace bailey::supervisor {

inline constexpr size_t kMaxKeptFds = 128;
inline constexpr size_t kMaxInsideSockets = 64;

struct KeepRequest {
  std::vector<std::string> names;  // [A-Za-z0-9_.:-]{1,64}, one per descriptor
};
struct ReadyReport {};
struct DrainedReport {};
struct ListenerRequest {
  PublishedPort port;
};
struct UnlistenRequest {
  PublishedPort port;
};
struct InsideRequest {
  size_t count;
};
using ProxyMessage = std::variant<KeepRequest, ReadyReport, DrainedReport, ListenerRequest,
                                  UnlistenRequest, InsideRequest>;

// `fds`: how many descriptors came with it.
Result<ProxyMessage> ParseProxyMessage(std::string_view text, size_t fds);

}  // namespace bailey::supervisor
