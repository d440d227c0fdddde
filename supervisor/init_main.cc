// bailey-init: process 1 of a tenant. It reaps, runs the start command when the supervisor says so,
// reports its end, and ends the tenant when told to. It was executed behind every wall of the
// tenant (init_gate.cc) from a memfd that nobody inside can read or write; static, and without the
// host in its memory. Under the name bailey-enter it is the helper of exec: init_enter.cc.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "supervisor/init_enter.h"
#include "supervisor/init_protocol.h"
#include "supervisor/pod_send.h"

namespace bailey::supervisor {
namespace {

constexpr int kControl = 3;               // the descriptor that init_gate.cc leaves us
constexpr size_t kMaxMessage = 64 << 10;  // base/message.h's
constexpr size_t kMaxStrings = 8192;
constexpr int kTick = 100;        // milliseconds between looks at who is left, while stopping
constexpr int kOrphanTicks = 50;  // after the supervisor has gone
constexpr int kNobody = -1;

class Init {
 public:
  int Run();

 private:
  void OnControl();
  void OnSignals();
  void OnStarted();
  void Reap();
  void Start(const InitMessage& header, size_t size);
  [[noreturn]] void Execute(char** argv, char** env, int report);
  void BeginStop(int signal);
  void Tell(InitMessageType type, int value, int error = 0);

  int signals_ = -1;
  int starting_ = -1;  // end of file when the start command has been executed, else its errno
  pid_t command_ = kNobody;
  bool stopping_ = false;
  bool orphaned_ = false;
  int orphan_ticks_ = kOrphanTicks;
  alignas(InitMessage) std::array<char, kMaxMessage> buffer_{};
};

// Blocked, not handled: signals to process 1 are dropped unless it blocks or handles them.
int BlockSignals(int how) {
  sigset_t all;
  ::sigfillset(&all);
  return ::sigprocmask(how, &all, nullptr);
}

int OpenSignals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGPWR, SIGUSR1, SIGUSR2})
    ::sigaddset(&set, signal);
  return ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

void Init::Tell(InitMessageType type, int value, int error) {
  SendPod(kControl, InitMessage{type, value, error});
}

// Splits the strings of a kStart message; false unless it is exactly what it says.
bool Split(char* text, size_t size, const InitMessage& header,
           std::array<char*, kMaxStrings>& out) {
  if (header.argc == 0 || header.strings < header.argc || header.strings + 2 > out.size())
    return false;
  size_t slot = 0;
  for (uint32_t i = 0; i < header.strings; ++i) {
    const char* end = static_cast<const char*>(std::memchr(text, 0, size));
    if (end == nullptr) return false;
    if (i == header.argc) out[slot++] = nullptr;
    out[slot++] = text;
    const auto length = static_cast<size_t>(end - text) + 1;
    text += length;
    size -= length;
  }
  if (header.strings == header.argc) out[slot++] = nullptr;
  out[slot] = nullptr;
  return size == 0;
}

void Init::Start(const InitMessage& header, size_t size) {
  static std::array<char*, kMaxStrings> strings;
  char* text = buffer_.data() + sizeof(InitMessage);
  if (command_ != kNobody || stopping_ || !Split(text, size - sizeof(InitMessage), header, strings))
    return Tell(InitMessageType::kStartFailed, 0, EINVAL);
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC | O_NONBLOCK) != 0)
    return Tell(InitMessageType::kStartFailed, 0, errno);
  const pid_t pid = ::fork();
  if (pid == 0) Execute(strings.data(), strings.data() + header.argc + 1, pipe[1]);
  const int error = errno;
  ::close(pipe[1]);
  if (pid < 0) {
    ::close(pipe[0]);
    return Tell(InitMessageType::kStartFailed, 0, error);
  }
  command_ = pid;
  starting_ = pipe[0];
}

void Init::Execute(char** argv, char** env, int report) {
  ::setsid();
  BlockSignals(SIG_UNBLOCK);
  environ = env;
  CompleteEnvironment(PasswdUser{});
  ::execvp(argv[0], argv);
  const int error = errno;
  [[maybe_unused]] const ssize_t n = ::write(report, &error, sizeof error);
  ::_exit(127);
}

void Init::OnStarted() {
  int error = 0;
  const ssize_t got = ::read(starting_, &error, sizeof error);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  ::close(starting_);
  starting_ = -1;
  if (got == 0) return Tell(InitMessageType::kStarted, command_);
  command_ = kNobody;  // reaped as anybody else
  Tell(InitMessageType::kStartFailed, 0, error);
}

void Init::BeginStop(int signal) {
  stopping_ = true;
  ::kill(-1, signal);
  ::kill(-1, SIGCONT);
}

void Init::OnControl() {
  const ssize_t got = ::recv(kControl, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {  // without a supervisor there is nobody to serve the tenant
    orphaned_ = true;
    return BeginStop(SIGTERM);
  }
  InitMessage header{};
  if (static_cast<size_t>(got) < sizeof header) return;
  std::memcpy(&header, buffer_.data(), sizeof header);
  if (header.type == InitMessageType::kStart) Start(header, static_cast<size_t>(got));
  if (header.type == InitMessageType::kStop) BeginStop(header.value);
}

// As busybox' init has it: reboot sends TERM, and a console's Ctrl-Alt-Del INT; halt, poweroff and
// a failing power supply the others. Pid 0 is somebody on the host, who would start it again.
Shutdown WantedBy(const signalfd_siginfo& info) {
  const bool reboot = info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT;
  return reboot && info.ssi_pid != 0 ? Shutdown::kReboot : Shutdown::kPowerOff;
}

void Init::OnSignals() {
  signalfd_siginfo info{};
  while (::read(signals_, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGCHLD) continue;
    // The supervisor answers with kStop; without one nothing would.
    if (orphaned_) return BeginStop(SIGTERM);
    if (!stopping_) Tell(InitMessageType::kShutdown, static_cast<int>(WantedBy(info)));
  }
}

void Init::Reap() {
  int status = 0;
  bool reaped = false;
  pid_t pid = 0;
  for (; (pid = ::waitpid(-1, &status, WNOHANG)) > 0; reaped = true) {
    if (pid != command_) continue;
    // It may have run and ended before we have read that it runs.
    if (starting_ >= 0) OnStarted();
    if (command_ == kNobody) continue;
    command_ = kNobody;
    Tell(InitMessageType::kExited, status);
  }
  if (reaped && pid < 0 && errno == ECHILD) Tell(InitMessageType::kIdle, 0);
}

bool Alone() { return ::kill(-1, 0) != 0 && errno == ESRCH; }

int Init::Run() {
  ::prctl(PR_SET_DUMPABLE, 0);
  ::prctl(PR_SET_NAME, "bailey-init");  // the kernel took the memfd's
  BlockSignals(SIG_BLOCK);
  signals_ = OpenSignals();
  if (signals_ < 0 || ::fcntl(kControl, F_SETFD, FD_CLOEXEC) != 0) return 1;
  Tell(InitMessageType::kReady, 0);
  for (;;) {
    std::array<pollfd, 3> wait = {
        {{signals_, POLLIN, 0}, {orphaned_ ? -1 : kControl, POLLIN, 0}, {starting_, POLLIN, 0}}};
    const int ready = ::poll(wait.data(), wait.size(), stopping_ ? kTick : -1);
    if (wait[0].revents != 0) OnSignals();
    if (wait[1].revents != 0) OnControl();
    if (starting_ >= 0 && wait[2].revents != 0) OnStarted();
    Reap();
    if (stopping_ && Alone()) return 0;
    if (ready == 0 && orphaned_ && --orphan_ticks_ == 0)
      return 0;  // the kernel kills whoever is left
  }
}

}  // namespace

int RunInit() {
  static Init init;  // 64 KiB: not on the stack
  return init.Run();
}

}  // namespace bailey::supervisor

int main(int argc, char** argv) {
  using namespace bailey::supervisor;
  if (argc > 0 && std::strcmp(argv[0], "bailey-enter") == 0) return RunEnter(argc, argv);
  if (::getpid() == 1) return RunInit();
  constexpr char kUsage[] = "bailey-init: the supervisor runs this inside a tenant\n";
  [[maybe_unused]] const ssize_t n = ::write(2, kUsage, sizeof kUsage - 1);
  return 2;
}
