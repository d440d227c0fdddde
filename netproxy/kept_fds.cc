#include "netproxy/kept_fds.h"

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

std::vector<std::pair<PublishedPort, UniqueFd>> KeptFds::TakeListeners() {
  std::vector<std::pair<PublishedPort, UniqueFd>> listeners;
  for (auto entry = fds_.begin(); entry != fds_.end();) {
    const std::string_view name = entry->first;
    const auto port = PublishedPort::Parse(
        name.starts_with(kListenerPrefix) ? name.substr(kListenerPrefix.size()) : "");
    if (!port) {
      ++entry;
      continue;
    }
    listeners.emplace_back(*port, std::move(entry->second));
    entry = fds_.erase(entry);
  }
  return listeners;
}

UniqueFd KeptFds::Take(std::string_view name) {
  const auto found = fds_.find(name);
  if (found == fds_.end()) return {};
  UniqueFd fd = std::move(found->second);
  fds_.erase(found);
  return fd;
}

std::vector<std::string> KeptFds::Names() const {
  std::vector<std::string> names;
  names.reserve(fds_.size());
  for (const auto& [name, fd] : fds_) names.push_back(name);
  return names;
}

}  // namespace bailey::netproxy
