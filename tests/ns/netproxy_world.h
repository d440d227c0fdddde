// A small world for the proxy's tests, made of namespaces of the calling process, which must be a
// child in a network namespace of its own (InChild(CLONE_NEWNET)):
//
//   tenant 203.0.113.7 │ bailey-netproxy │ host 203.0.113.1, 203.0.113.7 ─ veth ─ world
//   198.51.100.9
//
// The test itself plays the supervisor, on a thread of its own.
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/child_process.h"
#include "base/counters.h"
#include "base/message.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "netproxy/config.h"
#include "supervisor/source_guard.h"

namespace bailey::netproxy {

inline constexpr uint32_t kUidBase = 5'000'000, kProxyUid = kUidBase + 65535;
inline constexpr char kTenantIp[] = "203.0.113.7", kHostIp[] = "203.0.113.1",
                      kPeerIp[] = "203.0.113.8", kWorldIp[] = "198.51.100.9";

Endpoint At(const std::string& address, uint16_t port);

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

  // The proxy, as a supervisor has it.
  void StartProxy();  // with what was kept, if anything was
  void KillProxy();
  // By another, which starts as soon as this one says that it has drained.
  void ReplaceProxy();
  // Whether those that were replaced end by themselves.
  bool ReplacedProxiesEnd();
  void HangUp();  // the supervisor's end of the control socket closes
  void SendConfig(const ProxyConfig& config);
  pid_t proxy_pid() const { return proxy_.pid; }
  bool ProxyIsAlive() const;
  ProxyConfig& config() { return config_; }
  uint64_t Count(NetCounter counter) const { return counters_->Get(counter); }
  bool IsPublished(uint16_t port, Transport transport = Transport::kTcp);
  int listeners_asked() const { return listeners_asked_; }

  // False if `condition` does not come true within some seconds.
  static bool Await(const std::function<bool()>& condition);

 private:
  struct Maker {
    pid_t pid = -1;
    UniqueFd link;
  };
  void MakeNetworks();
  void StartMakers();
  Maker StartMaker(const std::string& group,
                   const std::function<void(int link, const Message&)>& serve) const;
  void ServeProxy();
  void OnMessage(Message message);
  void GiveListener(int link, PublishedPort port);
  void GiveInsideSockets(int link, size_t count);
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

  Child proxy_;
  UniqueFd link_;
  std::thread supervisor_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool ready_ = false, gone_ = false, drained_ = false;
  std::atomic<int> listeners_asked_ = 0;
  std::vector<std::pair<Child, UniqueFd>> replaced_;  // and their control sockets
  std::map<std::string, UniqueFd> kept_;
  std::map<PublishedPort, UniqueFd> listeners_;
};

// Runs `body` with a world, in a child of its own, and takes away what is left of the cgroup.
void InWorld(const std::function<void()>& body);

// Small steps of the socket API; failures are -1 or an errno, for EXPECTs.
int ConnectTo(const UniqueFd& socket, const Endpoint& to);                      // 0 or errno
int SendTo(const UniqueFd& socket, const Endpoint& to, std::string_view text);  // 0 or errno
int BindAt(const UniqueFd& socket, const Endpoint& place);
void Listen(const UniqueFd& socket, const Endpoint& place);
UniqueFd Accept(const UniqueFd& listener, Endpoint* from = nullptr);
Endpoint LocalEnd(const UniqueFd& socket);
Endpoint RemoteEnd(const UniqueFd& socket);
void Send(const UniqueFd& socket, std::string_view text);
std::string Receive(const UniqueFd& socket, size_t bytes);  // fewer at the end of file
std::string ReceiveDatagram(const UniqueFd& socket, Endpoint* from);
int ReceiveErrno(const UniqueFd& socket);  // of a recv that must fail; 0 for the end of file

}  // namespace bailey::netproxy
