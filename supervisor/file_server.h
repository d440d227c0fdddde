// FileServer: bailey-fs and what it serves: the FUSE mount at DIR/root and the layers' descriptors.
// Stage 1 of a start. Its death ends the tenant: the mount cannot be served by another one yet.
// docs/DESIGN.md, "bailey-supervisor → bailey-fs". Not thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "supervisor/fuse_mount.h"
#include "supervisor/machine_sources.h"
#include "supervisor/server_process.h"
#include "supervisor/tenant_cgroup.h"
#include "supervisor/tenant_config.h"
#include "supervisor/tenant_store.h"

namespace bailey::supervisor {

class FileServer {
 public:
  struct Events {
    std::function<void()> ready;             // INIT is answered: the mount may be idmapped
    std::function<void(Error reason)> died;  // at any time, ready or not
  };

  FileServer(EventLoop& loop, Events events)
      : loop_(loop), events_(std::move(events)), process_(loop) {}
  ~FileServer();
  FileServer(const FileServer&) = delete;
  FileServer& operator=(const FileServer&) = delete;

  struct Setup {
    const TenantConfig& config;
    const TenantStore& store;
    const TenantCgroup& cgroup;
    std::string program;                 // bailey-fs
    std::string point;                   // the mount point, made if missing
    int counters;                        // the server's page
    std::chrono::nanoseconds started;    // CLOCK_BOOTTIME that is 0 to the tenant
    std::vector<MachineSource> machine;  // OpenMachineSources
  };
  // Mounts and spawns.
  Status Start(const Setup& setup);
  // On the root of the mount; for the launcher.
  int mount() const { return fuse_.mount.get(); }
  // The mount of the machine that the tenant sees, detached until the launcher takes it.
  int machine() const { return machine_.mount.get(); }
  // After unmounting: gives the server a moment to end by itself, then kills it. Idempotent.
  void Stop();

 private:
  Status Spawn(const Setup& setup);
  void OnReady();
  void CloseReady();

  EventLoop& loop_;
  Events events_;
  ServerProcess process_;
  FuseMount fuse_, machine_;
  UniqueFd ready_;
};

}  // namespace bailey::supervisor
