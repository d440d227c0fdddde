#include "supervisor/control_request.h"

#include <boost/json.hpp>
#include <set>

#include "base/publish_rule_json.h"

namespace bailey::supervisor {
namespace {

namespace json = boost::json;

Error Refuse(const std::string& what) { return Invalid("request: " + what); }

// The members of one request; the first mistake is kept.
class Members {
 public:
  explicit Members(const json::object& object) : object_(object) {}

  const json::value* Find(const char* key) {
    known_.insert(key);
    return object_.if_contains(key);
  }
  std::string Text(const char* key) {
    const json::value* value = Find(key);
    if (value == nullptr) return {};
    if (!value->is_string()) Mistake(key, "must be text");
    return value->is_string() ? Plain(key, value->get_string()) : std::string();
  }
  std::vector<std::string> Texts(const char* key) {
    std::vector<std::string> texts;
    const json::value* value = Find(key);
    if (value == nullptr) return texts;
    if (!value->is_array()) Mistake(key, "must be a list of texts");
    for (const json::value& item : value->is_array() ? value->get_array() : json::array())
      if (item.is_string())
        texts.push_back(Plain(key, item.get_string()));
      else
        Mistake(key, "must be a list of texts");
    return texts;
  }
  bool Flag(const char* key) {
    const json::value* value = Find(key);
    if (value == nullptr) return false;
    if (!value->is_bool()) Mistake(key, "must be true or false");
    return value->is_bool() && value->get_bool();
  }
  template <class Number>
  std::optional<Number> Whole(const char* key) {
    const json::value* value = Find(key);
    if (value == nullptr) return std::nullopt;
    json::error_code failed;
    const auto number = value->to_number<Number>(failed);
    if (failed) Mistake(key, "is no whole number in range");
    return number;
  }
  std::optional<std::string> Object(const char* key) {
    const json::value* value = Find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_object()) Mistake(key, "must be an object");
    return json::serialize(*value);
  }
  Status Done() {
    for (const auto& member : object_)
      if (!known_.contains(std::string(member.key())))
        Mistake(std::string(member.key()).c_str(), "is unknown");
    return error_ ? Status(*error_) : Status();
  }
  void Mistake(const char* key, const char* what) {
    if (!error_) error_ = Refuse(std::string(key) + " " + what);
  }

 private:
  std::string Plain(const char* key, const json::string& text) {
    if (text.find('\0') != json::string::npos) Mistake(key, "must not contain a zero byte");
    return {text.data(), text.size()};
  }
  const json::object& object_;
  std::set<std::string> known_;
  std::optional<Error> error_;
};

WaitRequest ReadWait(Members& in) {
  const std::string state = in.Text("for");
  if (state != "running" && state != "stopped") in.Mistake("for", "must be running or stopped");
  return {state == "running"};
}

ExecRequest ReadExec(Members& in) {
  ExecRequest exec;
  exec.argv = in.Texts("argv");
  exec.env = in.Texts("env");
  exec.cwd = in.Text("cwd");
  exec.user = in.Text("user");
  exec.tty = in.Flag("tty");
  exec.program = in.Flag("program");
  exec.rows = in.Whole<uint16_t>("rows").value_or(exec.rows);
  exec.cols = in.Whole<uint16_t>("cols").value_or(exec.cols);
  if (exec.argv.empty()) in.Mistake("argv", "must have at least a program");
  return exec;
}

StopRequest ReadStop(Members& in) {
  StopRequest stop;
  constexpr uint32_t kDay = 86'400'000;
  if (const auto timeout = in.Whole<uint32_t>("timeoutMs"); timeout)
    stop.timeout = std::chrono::milliseconds(std::min(*timeout, kDay));
  return stop;
}

std::optional<std::optional<std::vector<PublishRule>>> ReadPublish(Members& in) {
  const json::value* publish = in.Find("publish");
  if (publish == nullptr) return std::nullopt;
  if (publish->is_null()) return std::optional<std::vector<PublishRule>>();
  auto rules = PublishRulesFromJson(*publish);
  if (!rules) in.Mistake("publish", "must be null or a list of ports");
  return rules;
}

std::optional<std::vector<TlsSite>> ReadTls(Members& in) {
  const json::value* tls = in.Find("tls");
  if (tls == nullptr) return std::nullopt;
  auto sites = TlsSitesFromJson(*tls);
  if (sites) return std::move(*sites);
  in.Mistake("tls", sites.error().Message().c_str());
  return std::nullopt;
}

Result<ControlRequest> ReadRequest(const std::string& op, Members& in) {
  if (op == "status") return StatusRequest{};
  if (op == "counters") return CountersRequest{};
  if (op == "wait") return ReadWait(in);
  if (op == "exec") return ReadExec(in);
  if (op == "stop") return ReadStop(in);
  if (op == "restart") {
    if (in.Text("server") != "net") in.Mistake("server", "must be net");
    return RestartProxyRequest{};
  }
  if (op == "suspend") return SuspendRequest{};
  if (op == "resume") return ResumeRequest{};
  if (op == "set") {
    SetRequest set;
    set.limits = in.Object("limits");
    set.network = in.Object("network");
    set.publish = ReadPublish(in);
    set.tls = ReadTls(in);
    return set;
  }
  return Refuse("unknown op " + op);
}

json::value ExitValue(const std::optional<ExitReport>& exit) {
  if (!exit) return nullptr;
  return json::object{
      {"code", exit->code}, {"signal", exit->signal}, {"reason", ExitReasonName(exit->reason)}};
}

void AddError(json::object& reply, const Error& error, std::string_view stage) {
  reply["errno"] = error.Errno();
  reply["error"] = error.Message();
  reply["stage"] = json::string(stage.data(), stage.size());
  reply["hint"] = error.hint;
}

int64_t Seconds(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

}  // namespace

const char* TenantStateName(TenantState state) {
  switch (state) {
    case TenantState::kDefined:
      return "defined";
    case TenantState::kPreparing:
      return "preparing";
    case TenantState::kRunning:
      return "running";
    case TenantState::kSuspended:
      return "suspended";
    case TenantState::kStopping:
      return "stopping";
    case TenantState::kStopped:
      return "stopped";
    case TenantState::kFailed:
      return "failed";
  }
  return "failed";
}

Result<ControlRequest> ParseControlRequest(std::string_view text) {
  json::error_code failed;
  const json::value value = json::parse(json::string_view(text.data(), text.size()), failed);
  if (failed || !value.is_object()) return Refuse("not a JSON object");
  Members in(value.get_object());
  const std::string op = in.Text("op");
  auto request = ReadRequest(op, in);
  if (!request) return request;
  BAILEY_TRY(in.Done());
  return request;
}

std::string OkReply() { return R"({"ok":true})"; }

std::string ErrorReply(const Error& error, std::string_view stage) {
  json::object reply = {{"ok", false}};
  AddError(reply, error, stage);
  return json::serialize(reply);
}

std::string StatusReply(const TenantStatus& status, bool ok) {
  json::object reply = {{"ok", ok},
                        {"state", TenantStateName(status.state)},
                        {"initPid", status.init_pid},
                        {"restarts", status.restarts},
                        {"startedAt", nullptr},
                        {"lastExit", ExitValue(status.last_exit)},
                        {"reboot", status.reboot},
                        {"error", nullptr}};
  if (status.started_at) reply["startedAt"] = Seconds(*status.started_at);
  if (status.failure) AddError(reply, status.failure->error, status.failure->stage);
  return json::serialize(reply);
}

std::string PidReply(int pid) { return json::serialize(json::object{{"ok", true}, {"pid", pid}}); }

std::string LimitsReply(const Limits& limits) {
  return json::serialize(json::object{{"ok", true},
                                      {"limits",
                                       {{"cpu", limits.cpu},
                                        {"memory", limits.memory_bytes},
                                        {"pids", limits.pids},
                                        {"connections", limits.connections},
                                        {"disk", limits.disk_bytes}}}});
}

}  // namespace bailey::supervisor
