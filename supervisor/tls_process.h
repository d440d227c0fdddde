// TlsProcess: bailey-tls, while the tenant's spec has certificates. Opens their files and passes
// the descriptors on: no key is ever read here. Looks every kLook whether a file has changed, and
// passes all of them on again then. When it dies it is started again. Not thread-safe.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "supervisor/backoff.h"
#include "supervisor/server_process.h"
#include "supervisor/tenant_cgroup.h"
#include "supervisor/tenant_config.h"

namespace bailey::supervisor {

class TlsProcess {
 public:
  static constexpr std::chrono::seconds kLook{5};

  struct Setup {
    const TenantConfig& config;
    const TenantCgroup& cgroup;
    std::string program;
    int counters;  // of CounterPage<TlsCounter>
  };

  // What `setup` refers to must outlive this. `started`: another one runs, which no proxy knows.
  TlsProcess(EventLoop& loop, Setup setup, std::function<void()> started)
      : loop_(loop), setup_(std::move(setup)), started_(std::move(started)) {}
  ~TlsProcess() { Stop(); }
  TlsProcess(const TlsProcess&) = delete;
  TlsProcess& operator=(const TlsProcess&) = delete;

  // Starts it, tells it, or ends it, as the configuration's sites want it.
  Status Apply();
  // A proxy's end of a new link to it; none while it does not run.
  UniqueFd Connect();
  void Stop();

 private:
  // What tells one state of a file from another.
  struct Stamp {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = -1;
    int64_t changed_ns = 0;
    bool operator==(const Stamp&) const = default;
  };

  Status Spawn();
  Status SendSites();
  void Look();
  void OnEnd(int status);
  void SpawnLater(const std::string& why);
  std::vector<Stamp> Stamps() const;

  EventLoop& loop_;
  Setup setup_;
  std::function<void()> started_;
  ServerProcess process_{loop_};
  UniqueFd link_;
  std::vector<Stamp> stamps_;  // of what it has been told
  Backoff backoff_;
  EventLoop::Clock::time_point spawned_at_;
  EventLoop::TimerId respawn_ = 0, look_ = 0;
};

}  // namespace bailey::supervisor
