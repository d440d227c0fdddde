// KeptFds: the descriptors that must outlive the proxy, by name. A first start makes them and sends
// them to the supervisor; a restarted proxy gets every one of them back (--adopt-fd name=N), so
// that neither a wall nor a listener is ever gone. Not thread-safe.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/publish_rule.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey::netproxy {

// Published sockets are kept under this prefix and their port: "listener:80", "listener:53/udp".
inline constexpr std::string_view kListenerPrefix = "listener:";
// The listener that many published ports share, if there is one, and the PublishedPage of all of
// the tenant's ports. Not the proxy's to keep: it is given them at its start.
inline constexpr std::string_view kSharedListener = "shared.listener";
inline constexpr std::string_view kSharedPorts = "shared.ports";

class KeptFds {
 public:
  // Takes `fd`; EEXIST for a name that is there.
  Status Add(std::string name, UniqueFd fd);
  // Borrowed, or -1.
  int Get(std::string_view name) const;
  bool empty() const { return fds_.empty(); }
  // Fails with ENOENT, naming the first of `names` that is missing.
  Status Require(const std::vector<std::string>& names) const;
  // Takes the adopted listeners out: pairs of port and descriptor.
  std::vector<std::pair<PublishedPort, UniqueFd>> TakeListeners();
  // Takes that one out; empty if there is none of that name.
  UniqueFd Take(std::string_view name);

  std::vector<std::string> Names() const;
  const std::map<std::string, UniqueFd, std::less<>>& all() const { return fds_; }

 private:
  std::map<std::string, UniqueFd, std::less<>> fds_;
};

}  // namespace bailey::netproxy
