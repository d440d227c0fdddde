#include "supervisor/exec_session.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cerrno>

#include "base/log.h"
#include "base/message.h"
#include "base/syscalls.h"
#include "supervisor/tenant_pipe.h"

namespace bailey::supervisor {
namespace {

namespace json = boost::json;

constexpr std::array kForwarded = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
constexpr size_t kLongestLine = 256;
constexpr int kAwaitEndMs = 200;
#ifndef PIDFD_SIGNAL_PROCESS_GROUP
constexpr unsigned PIDFD_SIGNAL_PROCESS_GROUP = 1U << 2;  // linux/pidfd.h; newer than Debian 12's
#endif

// The signal that a caller's line asks for; 0 for anything that is not one of ours.
int ParseSignalLine(std::string_view line) {
  json::error_code failed;
  const json::value value = json::parse(json::string_view(line.data(), line.size()), failed);
  if (failed || !value.is_object()) return 0;
  const json::value* number = value.get_object().if_contains("signal");
  if (number == nullptr || !number->is_int64()) return 0;
  const auto* const known = std::find(kForwarded.begin(), kForwarded.end(), number->get_int64());
  return known == kForwarded.end() ? 0 : *known;
}

}  // namespace

Result<std::unique_ptr<ExecSession>> ExecSession::Start(Setup setup, const ExecRequest& request,
                                                        UniqueFd socket, UniqueFd program) {
  std::unique_ptr<ExecSession> session(new ExecSession(std::move(setup), std::move(socket)));
  EnterRequest enter;
  enter.argv = request.argv;
  enter.env = request.env;
  enter.cwd = request.cwd;
  enter.user = request.user;
  if (request.tty) enter.terminal = TerminalSize{request.rows, request.cols};
  enter.program = program.get();
  enter.filter = &session->setup_.filter;
  enter.capabilities = session->setup_.capabilities;
  BAILEY_TRY(session->Enter(enter, request.tty));
  return session;
}

Status ExecSession::Enter(EnterRequest& enter, bool tty) {
  std::array<TenantPipe, 3> pipes;
  for (TenantPipe& pipe : pipes) {
    if (tty) break;
    auto made = MakeTenantPipe(setup_.uid_base);
    if (!made) return made.error();
    pipe = std::move(*made);
  }
  enter.input = pipes[0].read.get();
  enter.output = pipes[1].write.get();
  enter.error = pipes[2].write.get();
  auto entered = EnterTenant(setup_.tenant, setup_.cgroup, enter);
  if (!entered) return entered.error();
  process_ = std::move(*entered);
  BAILEY_TRY(Watch());
  if (tty) return Greet(tty, {process_.terminal.get()});
  return Greet(tty, {pipes[0].write.get(), pipes[1].read.get(), pipes[2].read.get()});
}

Status ExecSession::Watch() {
  if (::fcntl(socket_.get(), F_SETFL, O_NONBLOCK) != 0) return Errno("fcntl O_NONBLOCK");
  BAILEY_TRY(setup_.loop.Watch(process_.pidfd.get(), EPOLLIN, [this](uint32_t) { OnExit(); }));
  BAILEY_TRY(setup_.loop.Watch(process_.report.get(), EPOLLIN, [this](uint32_t) { OnReport(); }));
  return setup_.loop.Watch(socket_.get(), EPOLLIN, [this](uint32_t) { OnSocket(); });
}

// What a start that failed half way leaves must not run on without anybody who knows of it.
ExecSession::~ExecSession() {
  if (process_.pid > 0) {
    sys::PidfdSendSignal(process_.pidfd.get(), SIGKILL);
    pollfd ending{process_.pidfd.get(), POLLIN, 0};
    ::poll(&ending, 1, kAwaitEndMs);
    ::waitpid(process_.pid, nullptr, WNOHANG);
    setup_.loop.Unwatch(process_.pidfd.get());
  }
  if (process_.report) setup_.loop.Unwatch(process_.report.get());
  if (socket_) setup_.loop.Unwatch(socket_.get());
}

// The master or the pipes' ends go with the first line; we keep none of them.
Status ExecSession::Greet(bool tty, const std::vector<int>& host_ends) {
  const std::string line =
      json::serialize(json::object{{"pid", process_.pid}, {"tty", tty}}) + "\n";
  Status sent = SendMessage(socket_.get(), line, host_ends);
  process_.terminal.Reset();
  return sent;
}

void ExecSession::OnReport() {
  const Status executed = ReadEnterReport(process_.report.get());
  setup_.loop.Unwatch(process_.report.get());
  process_.report.Reset();
  if (!executed) not_executed_ = executed.error();
}

void ExecSession::OnSocket() {
  std::array<char, kLongestLine> buffer;
  const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return HangUp();
  unread_.append(buffer.data(), static_cast<size_t>(got));
  for (size_t end = 0; (end = unread_.find('\n')) != std::string::npos;) {
    OnLine(std::string_view(unread_).substr(0, end));
    unread_.erase(0, end + 1);
  }
  if (unread_.size() > kLongestLine) HangUp();  // speaks another language
}

void ExecSession::OnLine(std::string_view line) {
  if (const int signal = ParseSignalLine(line); signal != 0) Signal(signal);
}

// To the program's whole group, as a terminal would: a shell's children are meant too.
void ExecSession::Signal(int signal) {
  const auto send = [&](unsigned flags) {
    return ::syscall(SYS_pidfd_send_signal, process_.pidfd.get(), signal, nullptr, flags);
  };
  // ESRCH: it has not come to setsid yet.
  if (send(PIDFD_SIGNAL_PROCESS_GROUP) != 0) send(0);
}

void ExecSession::HangUp() {
  setup_.loop.Unwatch(socket_.get());
  socket_.Reset();
  Signal(SIGHUP);
}

// Ended for sure: the kernel has said so, or the wait is short.
ExitReport ExecSession::Reap() {
  if (process_.report) OnReport();
  int status = 0;
  while (::waitpid(process_.pid, &status, 0) < 0 && errno == EINTR) {
  }
  setup_.loop.Unwatch(process_.pidfd.get());
  process_.pid = -1;
  const ExitReport exit = ExplainExit(status, setup_.oom_kills());
  json::object line = {{"exit", exit.Status()}};
  if (not_executed_) {
    const int error = not_executed_->Errno();
    line = {{"exit", error == ENOENT || error == ENOTDIR ? 127 : 126},
            {"error", not_executed_->Message()}};
  }
  Tell(json::serialize(line) + "\n");
  return exit;
}

void ExecSession::OnExit() {
  const auto ended = std::move(setup_.ended);  // it destroys us
  ended(*this, Reap());
}

bool ExecSession::AwaitEnd(std::chrono::milliseconds at_most) {
  if (process_.pid <= 0) return true;
  pollfd ending{process_.pidfd.get(), POLLIN, 0};
  if (::poll(&ending, 1, static_cast<int>(at_most.count())) <= 0) return false;
  Reap();
  return true;
}

void ExecSession::Tell(const std::string& line) {
  if (!socket_) return;
  if (const Status sent = SendMessage(socket_.get(), line); !sent)
    LogInfo("exec session: " + sent.error().Message());
  setup_.loop.Unwatch(socket_.get());
  socket_.Reset();
}

}  // namespace bailey::supervisor
