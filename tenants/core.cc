#include "tenants/core.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/files.h"
#include "base/log.h"
#include "tenants/filesystem_item.h"
#include "tenants/spec_json.h"
#include "tenants/spec_values.h"
#include "tenants/templates/template_store.h"
#include "tenants/tenant_item.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

constexpr int64_t kUsualEvents = 1000;
constexpr size_t kMostBuilds = 8;
constexpr size_t kMostExaminations = 4;
constexpr size_t kLongestProgram = 64 << 20;

std::string TextAt(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_string()) return {};
  return {value->get_string().data(), value->get_string().size()};
}

// "tenant a", "tenants a and b", "tenants a, b, c and 12 more".
std::string Enumerated(const std::vector<std::string>& names) {
  constexpr size_t kNamed = 10;
  std::string text = names.size() == 1 ? "tenant " : "tenants ";
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() || i == kNamed ? " and " : ", ";
    if (i == kNamed && i + 1 < names.size())
      return text + std::to_string(names.size() - kNamed) + " more";
    text += names[i];
  }
  return text;
}

json::object ToObject(const std::string& text) { return json::parse(text).as_object(); }

// Not found, without strerror's words behind it.
ApiError TemplateError(const Error& error) {
  ApiError made = ApiError::From(error, {}, "template");
  if (made.code == ApiCode::kNotFound) made.message = "there is no " + error.context;
  if (made.code == ApiCode::kExists) made.message = error.context + " exists already";
  return made;
}

// The client's connection must be what the API child accepted: a Unix stream. Anything else could
// make the supervisor talk to something that the child could not reach by itself.
bool IsClientConnection(int fd) {
  int domain = 0, type = 0;
  socklen_t length = sizeof domain;
  if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) != 0) return false;
  length = sizeof type;
  return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && domain == AF_UNIX &&
         type == SOCK_STREAM;
}

}  // namespace

void Core::Call::Fail(ApiError error) const {
  CoreReply answer;
  answer.id = request.id;
  answer.error = std::move(error);
  reply(std::move(answer));
}

void Core::Call::Answer(const char* kind, json::array items) const {
  CoreReply answer;
  answer.id = request.id;
  answer.kind = kind;
  answer.items = std::move(items);
  reply(std::move(answer));
}

void Core::Call::Attach(Attached how, UniqueFd fd) const {
  CoreReply answer;
  answer.id = request.id;
  answer.attached = how;
  answer.fd = std::move(fd);
  reply(std::move(answer));
}

const Core::Operation* Core::FindOperation(const std::string& name) {
  static constexpr auto kOperations = std::to_array<Operation>({
      {"tenants.list", false, &Core::ListTenants},
      {"tenants.show", true, &Core::ShowTenant},
      {"tenants.fs", true, &Core::ShowFileSystem},
      {"tenants.create", false, &Core::CreateTenant},
      {"tenants.start", true, &Core::StartTenant},
      {"tenants.stop", true, &Core::StopTenant},
      {"tenants.restart", true, &Core::RestartTenant},
      {"tenants.suspend", true, &Core::SuspendTenant},
      {"tenants.resume", true, &Core::ResumeTenant},
      {"tenants.remove", true, &Core::RemoveTenant},
      {"tenants.set", true, &Core::SetTenant},
      {"tenants.exec.check", true, &Core::CheckExec},
      {"tenants.exec", false, &Core::Exec},
      {"tenants.logs", true, &Core::OpenLog},
      {"templates.list", false, &Core::ShowTemplates},
      {"templates.create", false, &Core::CreateTemplate},
      {"templates.remove", false, &Core::RemoveTemplateNamed},
      {"events.list", false, &Core::ListEvents},
      {"doctor", false, &Core::Doctor},
      {"metrics", false, &Core::Metrics},
  });
  const auto* const found = std::ranges::find_if(
      kOperations, [&](const Operation& operation) { return name == operation.name; });
  return found == kOperations.end() ? nullptr : found;
}

void Core::Handle(CoreRequest request, pid_t api_pid, Reply reply) {
  const auto call = std::make_shared<Call>(Call{std::move(request), api_pid, std::move(reply)});
  const Operation* operation = FindOperation(call->request.op);
  if (operation == nullptr)
    return call->Fail({ApiCode::kUsage, "there is no such operation", {}, {}, {}});
  if (operation->of_tenant)
    if (const auto tenant = fleet_.Find(call->request.tenant); !tenant)
      return call->Fail(tenant.error());
  (this->*operation->run)(call);
}

// ---- tenants --------------------------------------------------------------------------------

json::array Core::OneTenant(const std::string& name) const {
  const auto tenant = fleet_.Find(name);
  if (!tenant) return {};
  return {TenantItem(host_, sampler_.cgroups(), **tenant)};
}

Tenant::Done Core::AnswerTenant(const CallPtr& call) {
  return [this, call](const ApiStatus& outcome) {
    if (!outcome) return call->Fail(outcome.error());
    call->Answer("Tenant", OneTenant(call->request.tenant));
  };
}

void Core::ListTenants(const CallPtr& call) {
  json::array items;
  for (const auto& [name, tenant] : fleet_.tenants())
    items.push_back(TenantItem(host_, sampler_.cgroups(), *tenant));
  call->Answer("Tenant", std::move(items));
}

void Core::ShowTenant(const CallPtr& call) {
  call->Answer("Tenant", OneTenant(call->request.tenant));
}

void Core::ShowFileSystem(const CallPtr& call) {
  const std::shared_ptr<Tenant> shown = *fleet_.Find(call->request.tenant);
  const auto base = FindTemplate(host_.paths.state, *shown->effective().template_name,
                                 shown->record().generation);
  if (!base) return call->Fail(TemplateError(base.error()));
  MeasureFileSystem(meter_, host_, shown->name(), *base,
                    [this, call, base = *base](const FileSystemUse& use) {
                      const auto tenant = fleet_.Find(call->request.tenant);
                      if (!tenant) return call->Fail(tenant.error());
                      call->Answer("FileSystem", {FileSystemItem(host_, **tenant, base, use)});
                    });
}

void Core::CreateTenant(const CallPtr& call) {
  const json::value* body = call->request.args.if_contains("spec");
  if (body == nullptr || !body->is_object())
    return call->Fail({ApiCode::kUsage, "the spec is missing", {}, "spec", {}});
  auto spec = ReadSpecJson(body->get_object());
  if (!spec) return call->Fail(ApiError::From(spec.error(), {}, "spec"));
  if (dying_templates_.contains(*spec->template_name))
    return call->Fail({ApiCode::kNotFound, "template " + *spec->template_name + " is being removed",
                       spec->name, "template", "bailey template ls shows those that exist"});
  const auto created = fleet_.Create(std::move(*spec));
  if (!created) return call->Fail(created.error());
  call->Answer("Tenant", OneTenant((*created)->name()));
}

void Core::StartTenant(const CallPtr& call) {
  (*fleet_.Find(call->request.tenant))->Start(AnswerTenant(call));
}

void Core::StopTenant(const CallPtr& call) {
  (*fleet_.Find(call->request.tenant))->Stop(AnswerTenant(call));
}

void Core::SuspendTenant(const CallPtr& call) {
  (*fleet_.Find(call->request.tenant))->Suspend(AnswerTenant(call));
}

void Core::ResumeTenant(const CallPtr& call) {
  (*fleet_.Find(call->request.tenant))->Resume(AnswerTenant(call));
}

void Core::RestartTenant(const CallPtr& call) {
  if (const json::value* server = call->request.args.if_contains("server")) {
    if (*server == "net")
      return (*fleet_.Find(call->request.tenant))->RestartProxy(AnswerTenant(call));
    return call->Fail({ApiCode::kUsage,
                       "no such server: " + Shown(*server),
                       call->request.tenant,
                       {},
                       "the one that can be restarted by itself is net"});
  }
  (*fleet_.Find(call->request.tenant))->Stop([this, call](const ApiStatus& stopped) {
    if (!stopped) return call->Fail(stopped.error());
    const auto tenant = fleet_.Find(call->request.tenant);
    if (!tenant) return call->Fail(tenant.error());
    (*tenant)->Start(AnswerTenant(call));
  });
}

void Core::RemoveTenant(const CallPtr& call) {
  const json::value* force = call->request.args.if_contains("force");
  const bool forced = force != nullptr && force->is_bool() && force->get_bool();
  auto item = std::make_shared<json::array>(OneTenant(call->request.tenant));
  fleet_.Remove(call->request.tenant, forced, [call, item](const ApiStatus& removed) {
    if (!removed) return call->Fail(removed.error());
    call->Answer("Tenant", std::move(*item));
  });
}

void Core::SetTenant(const CallPtr& call) {
  fleet_.Set(call->request.tenant, call->request.args, AnswerTenant(call));
}

void Core::OpenLog(const CallPtr& call) {
  auto log = OpenPath(host_.paths.ConsoleLog(call->request.tenant), O_RDONLY | O_NOFOLLOW);
  // A tenant that never started has said nothing.
  if (!log && log.error().code == std::errc::no_such_file_or_directory)
    log = OpenPath("/dev/null", O_RDONLY);
  if (!log) return call->Fail(ApiError::From(log.error(), call->request.tenant, "store"));
  call->Attach(Attached::kFile, std::move(*log));
}

// ---- exec -----------------------------------------------------------------------------------

void Core::CheckExec(const CallPtr& call) {
  const std::string& name = call->request.tenant;
  const auto tenant = *fleet_.Find(name);
  if (tenant->IsSuspended())
    return call->Fail(
        {ApiCode::kFailed, "tenant " + name + " is suspended", name, {}, "bailey resume " + name});
  if (!tenant->Runs())
    return call->Fail(
        {ApiCode::kFailed, "tenant " + name + " does not run", name, {}, "bailey start " + name});
  if (const auto exec = ExecRequest::FromJson(call->request.args); !exec)
    return call->Fail(ApiError::From(exec.error(), name));
  call->Answer("Exec", {});
}

// 101 has been sent: whatever goes wrong from now on is said on the connection itself.
void Core::Exec(const CallPtr& call) {
  const auto refuse = [call](const ApiError& error) {
    // Never waits: a client that does not read misses the reason.
    const std::string line = SessionError(126, error.message);
    if (!call->request.fds.empty())
      ::send(call->request.fds.front().get(), line.data(), line.size(),
             MSG_NOSIGNAL | MSG_DONTWAIT);
    call->request.fds.clear();
    call->Fail(error);
  };
  if (call->request.fds.size() != 1 || !IsClientConnection(call->request.fds.front().get())) {
    call->request.fds.clear();
    return call->Fail({ApiCode::kUsage, "exec needs the client's connection", {}, {}, {}});
  }
  const auto tenant = fleet_.Find(call->request.tenant);
  if (!tenant) return refuse(tenant.error());
  const auto exec = ExecRequest::FromJson(call->request.args);
  if (!exec) return refuse(ApiError::From(exec.error(), call->request.tenant));
  ExecInside(call, *exec, [call, refuse](const ApiStatus& begun) {
    if (!begun) return refuse(begun.error());
    call->request.fds.clear();
    call->Answer("Exec", {});
  });
}

void Core::ExecInside(const CallPtr& call, const ExecRequest& exec, const Tenant::Done& done) {
  std::vector<int> fds = {call->request.fds.front().get()};
  UniqueFd program;
  if (exec.probe) {
    const auto text = ReadFile(ProgramDirectory() + "/bailey-probe", kLongestProgram);
    if (!text) return done(ApiError::From(text.error(), call->request.tenant));
    auto memory = SealedText("bailey-probe", *text);
    if (!memory) return done(ApiError::From(memory.error(), call->request.tenant));
    program = std::move(*memory);
    fds.push_back(program.get());
  }
  (*fleet_.Find(call->request.tenant))->Exec(exec.ToSupervisor(), fds, done);
}

// ---- templates ------------------------------------------------------------------------------

void Core::ShowTemplates(const CallPtr& call) {
  const auto templates = ListTemplates(host_.paths.state);
  if (!templates) return call->Fail(TemplateError(templates.error()));
  json::array items;
  for (const Template& one : *templates) items.push_back(ToObject(one.ToJson()));
  call->Answer("Template", std::move(items));
}

void Core::CreateTemplate(const CallPtr& call) {
  if (builds_.size() >= kMostBuilds)
    return call->Fail({ApiCode::kLimit,
                       "too many templates are being built",
                       {},
                       "template",
                       "try again when one of them is done"});
  const auto request = TemplateRequest::FromJson(json::serialize(call->request.args));
  if (!request) return call->Fail(TemplateError(request.error()));
  auto build = TemplateBuild::Start(host_.paths.state, *request);
  if (!build) return call->Fail(TemplateError(build.error()));
  const auto place = builds_.emplace(builds_.end());
  UniqueFd client;
  auto job = TemplateJob::Start(loop_, std::move(*build), &client,
                                [this, place] { builds_.erase(place); });
  if (!job) {
    builds_.erase(place);
    return call->Fail(TemplateError(job.error()));
  }
  *place = std::move(*job);
  call->Attach(Attached::kStream, std::move(client));
}

void Core::RemoveTemplateNamed(const CallPtr& call) {
  const std::string name = TextAt(call->request.args, "name");
  const auto found = FindTemplate(host_.paths.state, name);
  if (!found) return call->Fail(TemplateError(found.error()));
  if (const auto users = fleet_.UsersOfTemplate(name); !users.empty())
    return call->Fail({ApiCode::kInUse,
                       "template " + name + " is the root of " + Enumerated(users),
                       {},
                       "template",
                       "bailey rm them first"});
  if (!dying_templates_.insert(name).second)
    return call->Fail(
        {ApiCode::kInUse, "template " + name + " is being removed", {}, "template", {}});
  background_.Run([state = host_.paths.state, name] { return RemoveTemplate(state, name); },
                  [this, call, name, item = ToObject(found->ToJson())](const Status& gone) {
                    dying_templates_.erase(name);
                    if (!gone) return call->Fail(TemplateError(gone.error()));
                    call->Answer("Template", {item});
                  });
}

// ---- the rest -------------------------------------------------------------------------------

void Core::ListEvents(const CallPtr& call) {
  int64_t limit = kUsualEvents;
  if (const json::value* wanted = call->request.args.if_contains("limit"); wanted != nullptr) {
    json::error_code failed;
    limit = wanted->to_number<int64_t>(failed);
    if (failed || limit < 1 || limit > Store::kMostEvents)
      return call->Fail({ApiCode::kUsage, "limit is not 1 to 10000", {}, {}, {}});
  }
  const auto events = store_.Events(TextAt(call->request.args, "tenant"), limit);
  if (!events) return call->Fail(ApiError::From(events.error(), {}, "store"));
  json::array items;
  for (const Event& event : *events) items.push_back(EventItem(event));
  call->Answer("Event", std::move(items));
}

void Core::Doctor(const CallPtr& call) {
  if (examinations_.size() >= kMostExaminations)
    return call->Fail({ApiCode::kLimit, "this host is being examined already", {}, {}, {}});
  const auto place = examinations_.emplace(examinations_.end());
  auto job = DoctorJob::Start(loop_, host_.paths, [this, call, place](auto checks) {
    if (checks)
      call->Answer("Check", std::move(*checks));
    else
      call->Fail(checks.error());
    examinations_.erase(place);
  });
  if (job) {
    *place = std::move(*job);
    return;
  }
  examinations_.erase(place);
  call->Fail(ApiError::From(job.error()));
}

void Core::Metrics(const CallPtr& call) {
  auto page = SealedText("metrics", sampler_.Page(fleet_, host_, call->api_pid));
  if (!page) return call->Fail(ApiError::From(page.error()));
  call->Attach(Attached::kText, std::move(*page));
}

}  // namespace bailey::tenants
