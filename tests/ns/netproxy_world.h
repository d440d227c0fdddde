// A small world for the proxy's tests, made of namespaces of the calling process, which must be a
// child in a network namespace of its own (InChild(CLONE_NEWNET)):
//
//   tenant 203.0.113.7 │ bailey-netproxy │ host 203.0.113.1, 203.0.113.7 ─ veth ─ world
//   198.51.100.9
#pragma once

#include <sys/socket.h>

#include <functional>
#include <memory>
#include <string>

#include "base/counters.h"
#include "base/message.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "netproxy/config.h"
#include "supervisor/source_guard.h"
#include "tests/ns/netproxy_supervisor.h"
#include "tests/support/await.h"
#include "tests/support/sockets.h"

namespace bailey::netproxy {

inline constexpr char kTenantIp[] = "203.0.113.7", kHostIp[] = "203.0.113.1",
                      kPeerIp[] = "203.0.113.8", kWorldIp[] = "198.51.100.9";

class World {
 public:
  struct Options {
    std::string tenant_ip = kTenantIp;
    std::function<void(ProxyConfig&)> configure;  // changes the proxy's configuration
    bool start_proxy = true;
  };
  explicit World(Options options);
  World() : World(Options()) {}
  ~World();

  // Sockets of the three places; the tenant's are made by a process of its cgroup. All give up
  // after a while, so that no test hangs.
  UniqueFd Tenant(int type = SOCK_STREAM, int family = AF_INET) const;
  // Of ICMP, for pings, as one of the tenant's users has it.
  UniqueFd Ping(int family = AF_INET) const;
  UniqueFd Host(int type = SOCK_STREAM, int family = AF_INET) const;
  UniqueFd Outside(int type = SOCK_STREAM, int family = AF_INET) const;
  // In the tenant's network namespace, but not of its cgroup.
  UniqueFd Inside(int type = SOCK_STREAM, int family = AF_INET) const;
  int world_netns() const { return world_.get(); }
  int tenant_netns() const { return tenant_.get(); }
  int cgroup() const { return cgroup_.get(); }

  // The proxy: see PlayedSupervisor.
  void StartProxy() { supervisor_->Start(); }
  void KillProxy() { supervisor_->Kill(); }
  void ReplaceProxy() { supervisor_->Replace(); }
  bool ReplacedProxiesEnd() { return supervisor_->ReplacedEnd(); }
  void HangUp() { supervisor_->HangUp(); }
  void SendConfig(const ProxyConfig& config);
  pid_t proxy_pid() const { return supervisor_->pid(); }
  bool ProxyIsAlive() const { return supervisor_->IsAlive(); }
  ProxyConfig& config() { return config_; }
  uint64_t Count(NetCounter counter) const { return counters_->Get(counter); }
  bool IsPublished(uint16_t port, Transport transport = Transport::kTcp) {
    return supervisor_->IsPublished(port, transport);
  }
  int listeners_asked() const { return supervisor_->listeners_asked(); }

  // False if `condition` does not come true within some seconds.
  static bool Await(const std::function<bool()>& condition) { return bailey::Await(condition); }

 private:
  struct Maker {
    pid_t pid = -1;
    UniqueFd link;
  };
  void MakeNetworks();
  void StartMakers();
  Maker StartMaker(const std::string& group,
                   const std::function<void(int link, const Message&)>& serve) const;
  UniqueFd In(int netns, int type, int family) const;
  UniqueFd Make(int type, int family, int protocol) const;  // the tenant's

  Options options_;
  ProxyConfig config_;
  std::string cgroup_path_;
  UniqueFd cgroup_, servers_, host_, tenant_, world_, counters_fd_;
  EventLoop guard_loop_ = *EventLoop::Create();
  std::unique_ptr<supervisor::SourceGuard> guard_;  // as a supervisor has it; stops nothing
  CounterMapping<NetCounter> counters_;
  Maker tenants_sockets_, published_sockets_;
  std::unique_ptr<PlayedSupervisor> supervisor_;
};

// Runs `body` with a world, in a child of its own, and takes away what is left of the cgroup.
void InWorld(const std::function<void()>& body);

}  // namespace bailey::netproxy
