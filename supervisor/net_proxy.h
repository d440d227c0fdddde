// NetProxy: bailey-netproxy, what is kept open on its behalf, and the requests that it may make of
// us. When it dies it is started again with what was kept, so that no connection is refused
// meanwhile: the kernel queues them. Stage 6 of a start. The proxy is not trusted: it gets
// listeners at the tenant's own address, as far as the spec publishes, and sockets of the tenant's
// own namespace, nothing else. docs/DESIGN.md, "bailey-supervisor → bailey-netproxy". Not
// thread-safe.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>

#include "base/counters.h"
#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "supervisor/backoff.h"
#include "supervisor/proxy_message.h"
#include "supervisor/published_sockets.h"
#include "supervisor/server_process.h"
#include "supervisor/source_guard.h"
#include "supervisor/tenant_cgroup.h"
#include "supervisor/tenant_config.h"

namespace bailey::supervisor {

// The tenant's last id, mapped for nobody inside: its proxy and its bailey-tls run as that.
inline constexpr uint32_t kProxyId = 65535;

class NetProxy {
 public:
  struct Events {
    std::function<void()> ready;               // the first time only
    std::function<void(Error reason)> failed;  // it has died before it was ever ready
    std::function<void()> restarted;           // IsRestarting() has become false
  };
  struct Setup {
    const TenantConfig& config;
    const TenantCgroup& cgroup;
    std::string program;
    int counters;  // of CounterPage<NetCounter>
    CounterPage<SupervisorCounter>& own;
    std::function<UniqueFd()> connect_tls;  // a link to bailey-tls; none if there is none
    PublishedPage& published;
    bool own_address;  // which the host has for the tenant's sake alone
  };

  // What `setup` refers to must outlive this.
  NetProxy(EventLoop& loop, Setup setup, Events events)
      : loop_(loop),
        setup_(std::move(setup)),
        events_(std::move(events)),
        published_({setup_.config.ip, setup_.config.uid_base + kProxyId, setup_.cgroup.servers_fd(),
                    &setup_.published}) {}
  ~NetProxy() { Stop(); }
  NetProxy(const NetProxy&) = delete;
  NetProxy& operator=(const NetProxy&) = delete;

  // `netns`: the tenant's network namespace.
  Status Start(UniqueFd netns, std::string network);
  // The policy has changed: the proxies that run are told, and the next one starts with it.
  Status Reconfigure(std::string network);
  // The spec's ports have changed: listeners that it no longer allows are shut, whoever holds them;
  // where that cannot be, the proxies are ended.
  void CloseUnpublished();
  // Whether the tenant stands still: the proxy then answers for it.
  void SetSuspended(bool suspended);
  // There is another bailey-tls: the proxy gets a link to it.
  void GiveTlsLink();
  // Has a fresh proxy, of the program as it is on disk now, take over: the old one takes nothing
  // new and lives on until its last connection has ended. No connection is refused meanwhile. EBUSY
  // while the last restart is under way.
  Status Restart();
  bool IsRestarting() const { return restarting_; }
  // Closes the listeners and ends the proxy. Idempotent.
  void Stop();
  pid_t pid() const { return process_ ? process_->pid() : -1; }

 private:
  Status Spawn();
  void OnMessage();
  Status Serve(const ProxyMessage& message, std::vector<UniqueFd> fds);
  Status Keep(const KeepRequest& request, std::vector<UniqueFd> fds);
  Status GiveListener(PublishedPort port);
  Status GiveInsideSockets(size_t count);
  Status AfterClosing(const Status& closed);
  void OnReady();
  void OnDrained();
  void OnHangUp();
  void OnEnd(const ServerProcess* process, int status);
  void OnDeath(const std::string& how);
  void End(const std::string& why);
  void CloseLink();

  EventLoop& loop_;
  Setup setup_;
  Events events_;
  std::unique_ptr<ServerProcess> process_;
  std::unique_ptr<SourceGuard> guard_;
  UniqueFd netns_, link_;
  std::string network_;
  std::map<std::string, UniqueFd> kept_;
  PublishedSockets published_;
  // Earlier proxies, until their last connection has ended; each ends when its link closes.
  struct Draining {
    std::unique_ptr<ServerProcess> process;
    UniqueFd link;
  };
  std::list<Draining> draining_;
  bool was_ready_ = false, stopped_ = false, restarting_ = false, suspended_ = false;
  Backoff backoff_;
  EventLoop::Clock::time_point spawned_at_;
  EventLoop::TimerId respawn_ = 0, drain_deadline_ = 0, own_end_ = 0;
};

}  // namespace bailey::supervisor
