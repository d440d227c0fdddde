#include "supervisor/control_server.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "base/log.h"

namespace bailey::supervisor {
namespace {

constexpr size_t kMaxConnections = 128;

template <class... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
template <class... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

// A caller that is gone by now has lost interest.
void Reply(const UniqueFd& socket, const std::string& text, const std::vector<int>& fds = {}) {
  if (const Status sent = SendMessage(socket.get(), text, fds); !sent)
    LogInfo("control: " + sent.error().Message());
}

}  // namespace

ControlServer::~ControlServer() {
  for (const auto& [fd, connection] : connections_) loop_.Unwatch(fd);
  if (!listener_) return;
  loop_.Unwatch(listener_.get());
  ::unlink(path_.c_str());
}

Status ControlServer::Listen() {
  auto listener = ListenAt(path_, 0600);
  if (!listener) return listener.error();
  if (::fcntl(listener->get(), F_SETFL, O_NONBLOCK) != 0) return Errno("fcntl O_NONBLOCK");
  listener_ = std::move(*listener);
  return loop_.Watch(listener_.get(), EPOLLIN, [this](uint32_t) { OnConnect(); });
}

void ControlServer::OnConnect() {
  UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket || connections_.size() >= kMaxConnections) return;
  const int fd = socket.get();
  if (const Status watched = loop_.Watch(fd, EPOLLIN, [this, fd](uint32_t) { OnRequest(fd); });
      !watched)
    return LogError("control: " + watched.error().Message());
  connections_[fd].socket = std::move(socket);
}

void ControlServer::Drop(int socket) {
  loop_.Unwatch(socket);
  connections_.erase(socket);
}

void ControlServer::OnRequest(int socket) {
  auto message = ReceiveMessage(socket);
  if (message) return Serve(connections_.at(socket), std::move(*message));
  if (message.error().Errno() != EAGAIN) Drop(socket);
}

void ControlServer::Serve(Connection& connection, Message message) {
  const auto request = ParseControlRequest(message.text);
  if (!request) return Reply(connection.socket, ErrorReply(request.error()));
  const Overloaded serve{
      [&](const StatusRequest&) { Reply(connection.socket, StatusReply(tenant_.status())); },
      [&](const CountersRequest&) { Reply(connection.socket, OkReply(), tenant_.CounterPages()); },
      [&](const WaitRequest& wait) {
        Wait(connection, wait.for_running ? Awaited::kRunning : Awaited::kStopped);
      },
      [&](const ExecRequest& exec) {
        const auto pid = tenant_.Exec(exec, std::move(message.fds));
        Reply(connection.socket, pid ? PidReply(*pid) : ErrorReply(pid.error(), "exec"));
      },
      [&](const SetRequest& set) {
        const auto held = tenant_.Set(set);
        Reply(connection.socket, held ? LimitsReply(*held) : ErrorReply(held.error(), "limits"));
      },
      [&](const RestartProxyRequest&) {
        const Status begun = tenant_.RestartProxy();
        if (!begun) return Reply(connection.socket, ErrorReply(begun.error(), "network"));
        Wait(connection, Awaited::kProxy);
      },
      [&](const SuspendRequest&) {
        const Status begun = tenant_.Suspend();
        if (!begun) return Reply(connection.socket, ErrorReply(begun.error(), "suspend"));
        Wait(connection, Awaited::kSuspended);
      },
      [&](const ResumeRequest&) {
        const Status resumed = tenant_.Resume();
        Reply(connection.socket,
              resumed ? StatusReply(tenant_.status()) : ErrorReply(resumed.error(), "resume"));
      },
      [&](const StopRequest& stop) {
        stop_asked_ = true;
        connection.awaited = Awaited::kStopReply;
        tenant_.Stop(stop.timeout);  // may have ended, and answered us, by the time it returns
      },
  };
  std::visit(serve, *request);
}

void ControlServer::Wait(Connection& connection, Awaited awaited) {
  if (connection.awaited != Awaited::kNothing)
    return Reply(connection.socket, ErrorReply(Errno("wait twice on one connection", EBUSY)));
  connection.awaited = awaited;
  AnswerWaiter(connection);
}

void ControlServer::AnswerWaiter(Connection& connection) {
  const TenantStatus& status = tenant_.status();
  const bool ended = HasEnded(status.state), running = status.state == TenantState::kRunning;
  const bool failed = status.state == TenantState::kFailed;
  switch (connection.awaited) {
    case Awaited::kNothing:
      return;
    case Awaited::kRunning:
      if (!running && !ended) return;
      Reply(connection.socket, StatusReply(status, running));
      break;
    case Awaited::kStopped:
      if (!ended) return;
      Reply(connection.socket, StatusReply(status, !failed));
      break;
    case Awaited::kSuspended:
      if (tenant_.IsSuspending()) return;
      if (status.state == TenantState::kRunning && tenant_.SuspendFailure())
        Reply(connection.socket, ErrorReply(*tenant_.SuspendFailure(), "suspend"));
      else
        Reply(connection.socket, StatusReply(status, status.state == TenantState::kSuspended));
      break;
    case Awaited::kProxy:
      if (!ended && tenant_.IsRestartingProxy()) return;
      Reply(connection.socket, StatusReply(status, !ended));
      break;
    case Awaited::kStopReply:
      if (!ended) return;
      // That it had failed before is no failure of stopping it.
      Reply(connection.socket, tenant_.left_behind() ? ErrorReply(*tenant_.left_behind(), "stop")
                                                     : StatusReply(status));
      break;
  }
  connection.awaited = Awaited::kNothing;
}

void ControlServer::TenantChanged() {
  for (auto& [fd, connection] : connections_) AnswerWaiter(connection);
  if (!stop_asked_ || !HasEnded(tenant_.status().state)) return;
  stop_asked_ = false;
  if (!tenant_.left_behind()) loop_.Stop();
}

void ControlServer::StopForGood() {
  stop_asked_ = true;
  tenant_.Stop(std::nullopt);
}

}  // namespace bailey::supervisor
