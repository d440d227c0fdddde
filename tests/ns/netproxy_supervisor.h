// The supervisor of one bailey-netproxy, as a test plays it, on a thread of its own: gives it what
// it asks for, keeps what must outlive it, and has it replaced.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/child_process.h"
#include "base/message.h"
#include "base/publish_rule.h"
#include "base/unique_fd.h"
#include "netproxy/config.h"

namespace bailey::netproxy {

inline constexpr uint32_t kUidBase = 5'000'000, kProxyUid = kUidBase + 65535;

class PlayedSupervisor {
 public:
  // What the proxy is started with. All of it outlives this.
  struct Setup {
    const ProxyConfig& config;
    int tenant_netns, cgroup, servers,
        counters;           // descriptors; `servers` is the proxy's own cgroup
    int published_sockets;  // where a process of that cgroup makes them
  };
  explicit PlayedSupervisor(Setup setup) : setup_(setup) {}
  ~PlayedSupervisor();
  PlayedSupervisor(const PlayedSupervisor&) = delete;
  PlayedSupervisor& operator=(const PlayedSupervisor&) = delete;

  void Start();  // with what was kept, if anything was
  void Kill();
  // By another, which starts as soon as this one says that it has drained.
  void Replace();
  // Whether those that were replaced end by themselves.
  bool ReplacedEnd();
  void HangUp();  // its end of the control socket closes
  void Send(std::string_view message);
  pid_t pid() const { return proxy_.pid; }
  bool IsAlive() const;
  bool IsPublished(uint16_t port, Transport transport);
  int listeners_asked() const { return listeners_asked_; }

 private:
  void Serve();
  void OnMessage(Message message);
  void GiveListener(PublishedPort port);
  void GiveInsideSockets(size_t count);

  const Setup setup_;
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

}  // namespace bailey::netproxy
