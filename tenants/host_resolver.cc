#include "tenants/host_resolver.h"

#include <algorithm>
#include <sstream>

#include "base/files.h"

namespace bailey::tenants {
namespace {

constexpr const char* kResolvConf = "/etc/resolv.conf";
constexpr const char* kResolvedConf = "/run/systemd/resolve/resolv.conf";
constexpr uint32_t kResolvedStub = 0x7f000035;  // 127.0.0.53

bool IsDomain(std::string_view word) {
  return !word.empty() && word.size() <= 253 && std::ranges::all_of(word, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_';
  });
}

}  // namespace

HostResolver ParseResolvConf(std::string_view text) {
  HostResolver found;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string key;
    std::string word;
    words >> key;
    if (key == "nameserver" && words >> word) {
      if (const auto address = IpAddress::Parse(word)) found.servers.push_back({*address, 53});
    } else if (key == "search" || key == "domain") {
      found.search.clear();  // the last one counts
      while (words >> word)
        if (IsDomain(word)) found.search += (found.search.empty() ? "" : " ") + word;
    }
  }
  return found;
}

HostResolver ReadHostResolver() {
  const auto text = ReadFile(kResolvConf);
  if (!text) return {};
  HostResolver found = ParseResolvConf(*text);
  const auto is_stub = [](const Endpoint& server) {
    return server.address == IpAddress::V4(kResolvedStub);
  };
  if (std::ranges::any_of(found.servers, is_stub))
    if (const auto behind = ReadFile(kResolvedConf)) {
      HostResolver real = ParseResolvConf(*behind);
      if (!real.servers.empty()) return real;
    }
  return found;
}

}  // namespace bailey::tenants
