#include "supervisor/earlier_supervisor.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <chrono>

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

enum class Found {
  kNobody,  // that answers: it is dying, or has only just begun
  kTenant,  // that lives
  kLeaves,  // its tenant has ended, and it was asked to go
};

Found Dismiss(const std::string& runtime_dir) {
  const auto socket = ConnectTo(ControlSocketPath(runtime_dir));
  if (!socket) return Found::kNobody;
  const timeval patience{5, 0};
  ::setsockopt(socket->get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const auto status = Ask(*socket, R"({"op":"status"})");
  if (!status) return Found::kNobody;
  const json::value* state = status->get_object().if_contains("state");
  if (state == nullptr || (*state != "stopped" && *state != "failed")) return Found::kTenant;
  return Ask(*socket, R"({"op":"stop"})") ? Found::kLeaves : Found::kNobody;
}

}  // namespace

Result<RuntimeLock> TakeOver(const std::string& runtime_dir, const std::string& name) {
  auto lock = RuntimeLock::Open(runtime_dir);
  if (!lock) return lock;
  const auto deadline = std::chrono::steady_clock::now() + kAwaitGone;
  for (;;) {
    const auto ours = lock->Try();
    if (!ours) return ours.error();
    if (*ours) return lock;
    const Found found = Dismiss(runtime_dir);
    if (found == Found::kLeaves) break;
    // A killed one answers no more, and holds the lock until the kernel has closed its files.
    if (found == Found::kTenant || std::chrono::steady_clock::now() >= deadline)
      return Errno("tenant " + name + " has a supervisor already", EBUSY)
          .WithHint("bailey stop " + name);
    ::usleep(5'000);
  }
  BAILEY_TRY(lock->Await(kAwaitGone));
  return lock;
}

}  // namespace bailey::supervisor
