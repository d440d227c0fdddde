// PublishedSockets: the host's side of what one tenant publishes. A port has a socket of its own,
// at exactly the tenant's IP; but where a tenant publishes many TCP ports, those beyond the first
// few share one listener (shared_ports.h), so that 10,000 cost no more than one. Whoever asks has
// been checked against the spec. docs/DESIGN.md, "Published ports". Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "base/ip_address.h"
#include "base/publish_rule.h"
#include "base/published_page.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "supervisor/shared_ports.h"

namespace bailey::supervisor {

class PublishedSockets {
 public:
  static constexpr size_t kOwnSockets = 32;     // before TCP ports begin to share
  static constexpr size_t kMostSockets = 1024;  // each is a descriptor here and in the proxy
  // Ports below are known by name to the host's services, which must be told when one is taken.
  static constexpr uint16_t kFirstShared = 1024;

  struct Setup {
    IpAddress ip;
    uint32_t owner;      // the proxy's uid: see MakePublishedSocket
    int servers_cgroup;  // which the sockets belong to
    PublishedPage* page;
  };
  explicit PublishedSockets(Setup setup) : setup_(setup) {}

  struct Place {
    int fd;  // borrowed
    bool shared;
  };
  // Makes what serves `port`, if it is not there. `may_share`: the address, or at least this port
  // of it, is meant for the tenant alone. EADDRINUSE: somebody else has it. ENOSPC.
  Result<Place> Open(PublishedPort port, bool may_share);
  // It is served no more, whoever has a descriptor. An error: it could not be silenced, so some
  // holder of it must not live on.
  Status Close(PublishedPort port);
  // The same for all of `which`.
  Status Close(const std::function<bool(PublishedPort)>& which);
  // Drops all of ours.
  void Clear();

  const std::map<PublishedPort, UniqueFd>& sockets() const { return sockets_; }
  int shared_listener() const { return shared_ ? shared_->listener() : -1; }

 private:
  bool Shares(PublishedPort port);
  Result<UniqueFd> Make(PublishedPort port) const;

  const Setup setup_;
  std::map<PublishedPort, UniqueFd> sockets_;
  std::unique_ptr<SharedPorts> shared_;
  bool cannot_share_ = false;
};

}  // namespace bailey::supervisor
