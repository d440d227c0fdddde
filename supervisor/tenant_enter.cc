// S is the supervisor, E its child that goes inside, C the process that stays there.
//
//  1. S: clone3 of E into the tenant's v2 group. As C will be its child, S gives up what a child
//     could use: CAP_SYS_PTRACE, but for moments (supervisor/ptrace_right.h).
//  2. E: not dumpable; v1 groups; limits; joins all namespaces in one setns (one by one works only
//     with the user namespace last, and going on after a failure would run in the host's).
//  3. E: ids, keyring, terminal, descriptors, bounding set → seccomp → capset, each checked. E is
//     not in the tenant's pid namespace itself: nobody inside can see, stop or trace it.
//  4. E: clone of C, in the tenant's pid namespace. E says who C is, and ends; S, being a
//  subreaper,
//     is C's parent then. (CLONE_PARENT would say so at once, but the filter that stands by now
//     must deny it: C could add children to S that nobody reaps.)
//  5. C: executes bailey-init from its memfd as bailey-enter (init_enter.cc).
#include "supervisor/tenant_enter.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/files.h"
#include "base/message.h"
#include "base/syscalls.h"
#include "supervisor/enter_protocol.h"
#include "supervisor/pod_message.h"
#include "supervisor/process_group.h"
#include "supervisor/process_limits.h"
#include "supervisor/processor_share.h"
#include "supervisor/ptrace_right.h"
#include "supervisor/walls.h"

namespace bailey::supervisor {
namespace {

constexpr int kAllNamespaces = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
                               CLONE_NEWCGROUP | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWTIME;
constexpr int kPatience = 5'000;  // milliseconds; only a frozen group takes that long

enum class Step : int32_t { kGroups, kLimits, kNamespaces, kTerminal, kWalls, kClone };

// What E says: who C is, with its pidfd, the listener and the master of its terminal, if any.
struct EntryReport {
  pid_t pid = -1;
  Step step = Step::kGroups;
  WallStep wall = WallStep::kIds;
  int32_t error = 0;
};

// Everything that E needs, made before the clone: it does not allocate.
struct Entry {
  const LaunchedTenant* tenant;
  const EnterRequest* request;
  std::vector<int> tasks;
  std::vector<char*> argv, env;
  int report;   // C's, for EnterReport
  int message;  // E's, for EntryReport
};

[[noreturn]] void Fail(int message, EntryReport report, Step step, int error = errno) {
  report.step = step;
  report.error = error;
  SendPod(message, report);
  ::_exit(1);
}

struct Terminal {
  int master = -1, slave = -1;
};

// By the descriptor of the tenant's devpts, without a path that the tenant could bend. The slave
// belongs to the tenant's root, as we are that by now.
int OpenTerminal(const Entry& entry, Terminal* terminal) {
  const int master = ::openat(entry.tenant->dev_pts.get(), "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) return -1;
  const int unlocked = 0;
  const TerminalSize size = *entry.request->terminal;
  const winsize window{size.rows, size.columns, 0, 0};
  if (::ioctl(master, TIOCSPTLCK, &unlocked) != 0 || ::ioctl(master, TIOCSWINSZ, &window) != 0)
    return -1;
  const int slave = ::ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0) return -1;
  *terminal = {master, slave};
  return 0;
}

// clone(2): for the filter that stands by now, there is no clone3.
pid_t CloneIntoTenant(int* pidfd) {
  return static_cast<pid_t>(
      ::syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, nullptr, pidfd, nullptr, nullptr));
}

[[noreturn]] void RunHelper(int helper, const Entry& entry) {
  sys::Execveat(helper, "", entry.argv.data(), entry.env.data(), AT_EMPTY_PATH);
  const EnterReport report{EnterStep::kHelper, errno};
  [[maybe_unused]] const ssize_t n = ::write(kEnterReport, &report, sizeof report);
  ::_exit(127);
}

void JoinTenant(const Entry& entry, EntryReport& report) {
  const int message = entry.message;
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::prctl(PR_SET_DUMPABLE, 0) != 0 || RaisePtraceRight() != 0)
    Fail(message, report, Step::kLimits);
  for (const int tasks : entry.tasks)
    if (::write(tasks, "0", 1) != 1) Fail(message, report, Step::kGroups);
  if (SetTenantProcessLimits(entry.tenant->allow) != 0 ||
      TakeProcessors(entry.tenant->processors) != 0)
    Fail(message, report, Step::kLimits);
  if (::syscall(SYS_setgroups, 0, nullptr) != 0 ||
      ::setns(entry.tenant->init_pidfd.get(), kAllNamespaces) != 0)
    Fail(message, report, Step::kNamespaces);
  WallFailure failure{};
  if (BecomeTenantRoot(&failure) != 0) {
    report.wall = failure.step;
    Fail(message, report, Step::kWalls, failure.error);
  }
}

[[noreturn]] void RunEntry(const Entry& entry) {
  EntryReport report;
  JoinTenant(entry, report);
  const EnterRequest& request = *entry.request;
  Terminal terminal;
  if (request.terminal && OpenTerminal(entry, &terminal) != 0)
    Fail(entry.message, report, Step::kTerminal);
  const bool tty = request.terminal.has_value();
  const std::array<int, 5> wanted = {
      tty ? terminal.slave : request.input, tty ? terminal.slave : request.output,
      tty ? terminal.slave : request.error, entry.report, request.program};
  const size_t count = request.program < 0 ? 4 : 5;
  const std::array<int, 3> kept = {entry.message, entry.tenant->init_program.get(),
                                   terminal.master};
  const auto first = static_cast<int>(count);
  const int message = first, helper = first + 1, master = first + 2;
  WallFailure failure{};
  if (ArrangeDescriptors(std::span(wanted).first(count), std::span(kept).first(tty ? 3 : 2),
                         &failure) != 0) {
    report.wall = failure.step;
    Fail(entry.message, report, Step::kWalls, failure.error);
  }
  const int listener = RaiseWalls(request.capabilities, *request.filter, &failure);
  if (listener < 0) {
    report.wall = failure.step;
    Fail(message, report, Step::kWalls, failure.error);
  }
  int pidfd = -1;
  report.pid = CloneIntoTenant(&pidfd);
  if (report.pid < 0) Fail(message, report, Step::kClone);
  if (report.pid == 0) RunHelper(helper, entry);
  const std::array<int, 3> fds = {pidfd, listener, master};
  SendPod(message, report, std::span(fds).first(tty ? 3 : 2));
  ::_exit(0);
}

const char* StepName(const EntryReport& report) {
  switch (report.step) {
    case Step::kGroups:
      return "join the tenant's cgroups";
    case Step::kLimits:
      return "set the limits of processes";
    case Step::kNamespaces:
      return "join the tenant's namespaces";
    case Step::kTerminal:
      return "open a terminal";
    case Step::kWalls:
      return WallStepName(report.wall);
    case Step::kClone:
      return "fork inside the tenant";
  }
  return "unknown step";
}

std::vector<std::string> HelperArguments(const EnterRequest& request) {
  std::string flags = "-";
  if (request.terminal) flags += 't';
  if (request.program >= 0) flags += 'p';
  std::vector<std::string> argv = {"bailey-enter", flags, request.user, request.cwd};
  argv.insert(argv.end(), request.argv.begin(), request.argv.end());
  return argv;
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& s : strings) pointers.push_back(const_cast<char*>(s.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// Reads E's report and takes what came with it.
Result<EnteredProcess> ReadEntryReport(int socket, bool terminal) {
  BAILEY_TRY(AwaitReadable(socket, kPatience));
  auto message = ReceivePod<EntryReport>(socket);
  if (!message) return Errno("enter the tenant: it ended meanwhile", ESRCH);
  const EntryReport& report = message->pod;
  if (report.error != 0) return Errno(StepName(report), report.error).Within("enter the tenant");
  if (message->fds.size() != (terminal ? 3U : 2U)) return Errno("enter the tenant", EPROTO);
  EnteredProcess process;
  process.pid = report.pid;
  process.pidfd = std::move(message->fds[0]);
  process.seccomp_listener = std::move(message->fds[1]);
  if (terminal) process.terminal = std::move(message->fds[2]);
  return process;
}

Result<EnteredProcess> CloneEntry(const Entry& entry, const TenantCgroup& cgroup,
                                  MessagePair messages) {
  clone_args args{};
  args.flags = CLONE_INTO_CGROUP;
  args.exit_signal = SIGCHLD;
  args.cgroup = static_cast<uint64_t>(cgroup.tenant_fd());
  const pid_t pid = sys::Clone3(args);
  if (pid < 0) return Errno("clone3 into the tenant's cgroup");
  if (pid == 0) RunEntry(entry);
  ::setpgid(pid, pid);  // as it does itself: whoever is first
  messages.theirs.Reset();
  auto process = ReadEntryReport(messages.ours.get(), entry.request->terminal.has_value());
  if (!process) {
    EndProcessGroup(pid);
    return process;
  }
  Reap(pid);
  return process;
}

}  // namespace

Result<EnteredProcess> EnterTenant(const LaunchedTenant& tenant, const TenantCgroup& cgroup,
                                   const EnterRequest& request) {
  if (request.argv.empty()) return Invalid("no program to run");
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return Errno("become a subreaper");
  if (LowerPtraceRight() != 0) return Errno("give up CAP_SYS_PTRACE");
  std::array<int, 2> report{};
  if (::pipe2(report.data(), O_CLOEXEC) != 0) return Errno("pipe2");
  UniqueFd report_ours(report[0]);
  const UniqueFd report_theirs(report[1]);
  auto messages = MakeMessagePair();
  if (!messages) return messages.error();
  const std::vector<std::string> argv = HelperArguments(request);
  Entry entry{&tenant,
              &request,
              {},
              Pointers(argv),
              Pointers(request.env),
              report_theirs.get(),
              messages->theirs.get()};
  std::vector<UniqueFd> tasks;
  for (const std::string& path : cgroup.TenantTasks()) {
    auto file = OpenPath(path, O_WRONLY);
    if (!file) return file.error();
    entry.tasks.push_back(file->get());
    tasks.push_back(std::move(*file));
  }
  auto process = CloneEntry(entry, cgroup, std::move(*messages));
  if (process) process->report = std::move(report_ours);
  return process;
}

Status ReadEnterReport(int fd) {
  constexpr std::array<const char*, 6> kSteps = {
      "start bailey-enter",  "take the terminal",   "find the user in the tenant's /etc/passwd",
      "take the user's ids", "enter the directory", "execute the program"};
  EnterReport report{};
  ssize_t got = 0;
  do {
    got = ::read(fd, &report, sizeof report);
  } while (got < 0 && errno == EINTR);
  if (got == 0) return {};
  const auto step = static_cast<size_t>(report.step);
  if (got != sizeof report || step >= kSteps.size() || report.error == 0)
    return Errno("report of bailey-enter", EPROTO);
  return Errno(kSteps[step], report.error);
}

}  // namespace bailey::supervisor
