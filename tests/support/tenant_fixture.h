// A tenant for tests: real walls around a plain directory in place of a served tree, with one
// program in it (tests/support/wall_probe.cc). Everything is taken away again by a janitor process,
// even when the test crashes.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "supervisor/seccomp_notify.h"
#include "supervisor/tenant_enter.h"
#include "supervisor/tenant_launch.h"

namespace bailey::supervisor {

inline constexpr uint32_t kTestUidBase = 1'966'080;

struct RunResult {
  int status = -1;     // of waitpid
  std::string output;  // stdout and stderr
  Status executed;     // ReadEnterReport
};

class TenantFixture {
 public:
  explicit TenantFixture(Allow allow = {});
  ~TenantFixture();
  TenantFixture(const TenantFixture&) = delete;
  TenantFixture& operator=(const TenantFixture&) = delete;

  // Before Launch: what differs from the default.
  TenantConfig config;
  const Allow allow;

  Status Launch();  // stages 2 to 5
  Status Open();    // the gate, and a DenialListener
  Status LaunchAndStart(const std::vector<std::string>& argv = {"/probe", "wait"});
  Status Stop();  // by init, then by force

  // Enters and waits for the end, answering denied calls meanwhile.
  RunResult Run(std::vector<std::string> argv, EnterRequest request = {});
  Result<EnteredProcess> Enter(std::vector<std::string> argv, EnterRequest request = {});
  // The errno of an attempt (a name that wall_probe.cc knows), 0 for success, -1 if it did not run.
  int Try(const std::string& attempt);

  LaunchRequest Request() const;
  const LaunchedTenant& tenant() const { return *tenant_; }
  const TenantCgroup& cgroup() const { return *cgroup_; }
  const TenantFilter& filter() const { return *filter_; }
  EventLoop& loop() { return *loop_; }
  uint64_t Count(SupervisorCounter counter) const { return counters_->Get(counter); }
  const std::string& root() const { return root_; }
  std::string ReadConsole();
  void Watch(UniqueFd listener);
  bool launched() const { return tenant_.has_value(); }

 private:
  void StartJanitor();
  void MakeGroup();

  std::string directory_, root_;
  pid_t janitor_ = -1;
  UniqueFd alive_;  // the janitor waits for its other end to close
  std::optional<CgroupHost> host_;
  std::optional<TenantCgroup> cgroup_;
  std::optional<TenantSysinfo> sysinfo_;
  std::optional<TenantFilter> filter_;
  std::optional<EventLoop> loop_;
  UniqueFd tree_, upper_, console_read_, console_write_, init_program_;
  std::unique_ptr<CounterPage<SupervisorCounter>> counters_;
  std::optional<LaunchedTenant> tenant_;
  std::vector<std::unique_ptr<DenialListener>> listeners_;
};

}  // namespace bailey::supervisor
