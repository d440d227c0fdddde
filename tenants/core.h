// Core: carries out what the API child asks for (core_protocol.h). The child may be in a stranger's
// hands: whatever it sends is checked here as if nobody had before. Runs on the daemon's loop;
// replies come when they are ready, in any order.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <set>
#include <string>

#include "tenants/core_protocol.h"
#include "tenants/doctor_job.h"
#include "tenants/exec_request.h"
#include "tenants/fleet.h"
#include "tenants/layer_meter.h"
#include "tenants/sampling.h"
#include "tenants/template_job.h"

namespace bailey::tenants {

class Core {
 public:
  using Reply = std::function<void(CoreReply reply)>;

  Core(EventLoop& loop, Store& store, const Host& host, Background& background, Fleet& fleet,
       Sampler& sampler, LayerMeter& meter)
      : loop_(loop),
        store_(store),
        host_(host),
        background_(background),
        fleet_(fleet),
        sampler_(sampler),
        meter_(meter) {}

  // `reply` is called once, at once or later, with the request's id. `api_pid` is the asking child.
  void Handle(CoreRequest request, pid_t api_pid, Reply reply);

 private:
  struct Call {
    CoreRequest request;
    pid_t api_pid;
    Reply reply;

    void Fail(ApiError error) const;
    void Answer(const char* kind, boost::json::array items) const;
    void Attach(Attached how, UniqueFd fd) const;
  };
  using CallPtr = std::shared_ptr<Call>;
  struct Operation {
    const char* name;
    bool of_tenant;  // needs one that exists
    void (Core::*run)(const CallPtr& call);
  };
  static const Operation* FindOperation(const std::string& name);

  void ListTenants(const CallPtr& call);
  void ShowTenant(const CallPtr& call);
  void ShowFileSystem(const CallPtr& call);
  void CreateTenant(const CallPtr& call);
  void StartTenant(const CallPtr& call);
  void StopTenant(const CallPtr& call);
  void SuspendTenant(const CallPtr& call);
  void ResumeTenant(const CallPtr& call);
  void RestartTenant(const CallPtr& call);
  void RemoveTenant(const CallPtr& call);
  void SetTenant(const CallPtr& call);
  void CheckExec(const CallPtr& call);
  void Exec(const CallPtr& call);
  void OpenLog(const CallPtr& call);
  void ShowTemplates(const CallPtr& call);
  void CreateTemplate(const CallPtr& call);
  void RemoveTemplateNamed(const CallPtr& call);
  void ListEvents(const CallPtr& call);
  void Doctor(const CallPtr& call);
  void Metrics(const CallPtr& call);

  void ExecInside(const CallPtr& call, const ExecRequest& exec, const Tenant::Done& done);
  // A Done that answers with the tenant as it is then.
  Tenant::Done AnswerTenant(const CallPtr& call);
  boost::json::array OneTenant(const std::string& name) const;

  EventLoop& loop_;
  Store& store_;
  const Host& host_;
  Background& background_;
  Fleet& fleet_;
  Sampler& sampler_;
  LayerMeter& meter_;
  std::list<std::unique_ptr<TemplateJob>> builds_;
  std::set<std::string> dying_templates_;  // being removed: no tenant may be made of them
  std::list<std::unique_ptr<DoctorJob>> examinations_;
};

}  // namespace bailey::tenants
