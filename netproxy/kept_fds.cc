#include "netproxy/kept_fds.h"

#include <charconv>
#include <cstdint>
#include <utility>

namespace bailey::netproxy {

Status KeptFds::Add(std::string name, UniqueFd fd) {
  const auto [place, added] = fds_.try_emplace(std::move(name), std::move(fd));
  if (!added) return Errno("descriptor " + place->first + " twice", EEXIST);
  return {};
}

int KeptFds::Get(std::string_view name) const {
  const auto found = fds_.find(name);
  return found == fds_.end() ? -1 : found->second.get();
}

Status KeptFds::Require(const std::vector<std::string>& names) const {
  for (const std::string& name : names)
    if (!fds_.contains(name)) return Errno("adopted descriptor " + name, ENOENT);
  return {};
}

std::vector<std::pair<uint16_t, UniqueFd>> KeptFds::TakeListeners() {
  std::vector<std::pair<uint16_t, UniqueFd>> listeners;
  for (auto entry = fds_.begin(); entry != fds_.end();) {
    uint16_t port = 0;
    const std::string_view name = entry->first;
    const char* const end = name.data() + name.size();
    if (!name.starts_with(kListenerPrefix) ||
        std::from_chars(name.data() + kListenerPrefix.size(), end, port).ptr != end || port == 0) {
      ++entry;
      continue;
    }
    listeners.emplace_back(port, std::move(entry->second));
    entry = fds_.erase(entry);
  }
  return listeners;
}

std::vector<std::string> KeptFds::Names() const {
  std::vector<std::string> names;
  names.reserve(fds_.size());
  for (const auto& [name, fd] : fds_) names.push_back(name);
  return names;
}

}  // namespace bailey::netproxy
