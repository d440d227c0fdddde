// Tenant: one tenant's life (DESIGN.md §3), as the daemon conducts it. Its processes belong to its
// supervisor; a Tenant only asks for transitions, and records in the store what it is about to do
// before it does it. Runs on the daemon's loop and never blocks it but for the store and small
// files; transitions of several tenants go on side by side.
//
//   defined, stopped, failed ── Start ──▶ preparing ──▶ running ── Stop, or it ends ──▶ stopping
//        ▲                                    │ failure                                    │
//        └────────────────────────────────────┴────────────────────────────────────────────┘
// A running one may be suspended, and resumes to running.
#pragma once

#include <boost/json.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/counters.h"
#include "base/event_loop.h"
#include "base/published_page.h"
#include "base/tls_counters.h"
#include "tenants/child_watch.h"
#include "tenants/core_protocol.h"
#include "tenants/store.h"
#include "tenants/supervisor_client.h"
#include "tenants/tenant_setup.h"

namespace bailey::tenants {

struct TenantContext {
  EventLoop& loop;
  Store& store;
  const Host& host;
  // The addresses of all tenants but this one.
  std::function<std::vector<IpAddress>(const std::string& name)> peers;
  // Removes what removal.h has moved away, in the background.
  std::function<void(const std::string& path)> discard;
};

// What the servers of a running tenant count and publish.
struct TenantCounters {
  CounterMapping<FsCounter> fs;
  CounterMapping<NetCounter> net;
  CounterMapping<SupervisorCounter> supervisor;
  CounterMapping<TlsCounter> tls;  // not of a supervisor of an earlier program
  PublishedPage published;
};

class Tenant : public std::enable_shared_from_this<Tenant> {
 public:
  using Done = std::function<void(const ApiStatus& outcome)>;

  Tenant(TenantContext& context, TenantRecord record);
  ~Tenant();

  const TenantRecord& record() const { return record_; }
  const std::string& name() const { return record_.name(); }
  // The record's spec over its plan and the defaults, as it holds now.
  const Spec& effective() const { return effective_; }
  bool Runs() const { return record_.state == TenantState::kRunning; }
  bool IsSuspended() const { return record_.state == TenantState::kSuspended; }
  // Has processes and servers: runs, or stands still.
  bool IsUp() const { return Runs() || IsSuspended(); }
  // Neither up nor on the way there or back.
  bool AtRest() const;
  pid_t init_pid() const { return init_pid_; }
  pid_t supervisor_pid() const { return supervisor_pid_; }
  const TenantCounters& counters() const { return counters_; }

  // Each is idempotent; one that meets another transition waits for its end. `done` may be called
  // at once.
  void Start(Done done);
  void Stop(Done done);
  // To stand still and to go on. kFailed unless it is up.
  void Suspend(Done done);
  void RestartProxy(Done done);
  void Resume(Done done);
  // At the daemon's start: finds a living supervisor again. `found` is called once it is known
  // whether there is one; what follows from that (a start, a clearing) then goes on by itself.
  void Adopt(std::function<void()> found);

  // Writes `spec` to the store, then makes it hold at once as far as that is possible while the
  // tenant runs. On an error of the supervisor the old spec is put back.
  void Set(Spec spec, Done done);
  // Tells the proxy about its neighbours, if the tenant runs.
  void PushNetwork();
  // The supervisor's "exec"; answers with the pid.
  void Exec(const boost::json::object& request, const std::vector<int>& fds, Done done);

 private:
  ApiStatus BeginStart();
  Status RunStart(const supervisor::TenantConfig& config);
  Status Serve(const supervisor::TenantConfig& config);
  Status Prepare(const supervisor::TenantConfig& config);
  void DiscardDirectory();
  void EndStart(ApiError error);
  ApiStatus BeginStop();
  ApiStatus BeginClear();
  void Attach(SupervisorClient::Handler handler);
  void OnUp(const ApiStatus& up);
  void OnStatus(ApiResult<SupervisorAnswer> answer);
  void OnAdopted(ApiResult<SupervisorAnswer> answer, const std::function<void()>& found);
  void OnRunning(const ApiResult<SupervisorAnswer>& answer);
  void Pause(const char* op, TenantState wanted, Done done);
  void OnEnded(const ApiResult<SupervisorAnswer>& answer);
  void AwaitEnd();
  void FetchCounters();
  void Dismiss();
  void OnDismissed(const ApiStatus& stopped);
  void OnSupervisorGone();
  void FinishDismissal();
  void Clear();
  void Settle();
  void StartAgainLater();
  void PushSettings();
  void Push(void (*narrow)(boost::json::object& request));
  void PutBack(Spec spec, Spec effective);
  boost::json::object LiveSettings() const;
  ApiStatus SaveIntent(TenantRecord record);
  void Save();
  void Note(const char* kind, const std::string& text);

  TenantContext& context_;
  TenantRecord record_;
  Spec effective_;
  SupervisorClient life_;               // our own questions: forgotten when the supervisor is
  SupervisorClient requests_;           // what others wait for
  std::unique_ptr<ChildWatch> runner_;  // bailey-supervisor on its way up, or clearing
  UniqueFd supervisor_;                 // pidfd
  pid_t supervisor_pid_ = -1, init_pid_ = -1;
  TenantCounters counters_;
  bool preparing_store_ = false;      // what `runner_` does: no supervisor yet
  bool pausing_ = false;              // a suspend or resume is under way
  bool dismissing_ = false;           // the supervisor's end has been asked for
  std::optional<bool> gone_cleanly_;  // whether it said that nothing is left, once it has
  bool keep_trying_ = false;          // whatever the failure: it should run
  std::optional<ApiError> failure_;   // why the transition that goes on will end in `failed`
  EventLoop::TimerId last_resort_ = 0, retry_ = 0;
  std::chrono::seconds retry_pause_{0};
  std::vector<Done> waiting_;
};

}  // namespace bailey::tenants
