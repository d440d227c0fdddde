#include "supervisor/earlier_supervisor.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <boost/json.hpp>

#include "base/message.h"
#include "supervisor/tenant_sweep.h"

namespace bailey::supervisor {
namespace {

namespace json = boost::json;
constexpr std::chrono::milliseconds kAwaitGone{5'000};

Result<json::value> Ask(const UniqueFd& socket, std::string_view request) {
  BAILEY_TRY(SendMessage(socket.get(), request));
  const auto reply = ReceiveMessage(socket.get());
  if (!reply) return reply.error();
  json::error_code failed;
  json::value value = json::parse(reply->text, failed);
  if (failed || !value.is_object()) return Errno("reply of the earlier supervisor", EPROTO);
  return value;
}

// It says that its tenant has ended, and is asked to go.
bool Dismiss(const std::string& runtime_dir) {
  const auto socket = ConnectTo(ControlSocketPath(runtime_dir));
  if (!socket) return false;
  const timeval patience{5, 0};
  ::setsockopt(socket->get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const auto status = Ask(*socket, R"({"op":"status"})");
  if (!status) return false;
  const json::value* state = status->get_object().if_contains("state");
  if (state == nullptr || (*state != "stopped" && *state != "failed")) return false;
  return Ask(*socket, R"({"op":"stop"})").has_value();
}

}  // namespace

Result<RuntimeLock> TakeOver(const std::string& runtime_dir, const std::string& name) {
  auto lock = RuntimeLock::Open(runtime_dir);
  if (!lock) return lock;
  const auto ours = lock->Try();
  if (!ours) return ours.error();
  if (*ours) return lock;
  if (!Dismiss(runtime_dir))
    return Errno("tenant " + name + " has a supervisor already", EBUSY)
        .WithHint("bailey stop " + name);
  BAILEY_TRY(lock->Await(kAwaitGone));
  return lock;
}

}  // namespace bailey::supervisor
