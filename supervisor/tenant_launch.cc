// The start of a tenant. S is the supervisor, L the launcher (launcher.cc), F bailey-fs, I the
// tenant's init (init_gate.cc, then init_main.cc).
//
//  1. S: cgroups and limits; F serves a mount of /dev/fuse that S made. All before LaunchTenant.
//  2. L: what the tree needs to be mounted on; a mount namespace (private) and a network namespace,
//     both owned by the host; lo, the IP and the routes in one netlink batch.
//  3. L: joins the v1 groups, takes the tenant's own uid, and by one clone3 makes I in new user,
//     pid, ipc, uts and cgroup namespaces and in the v2 group, as S's child; writes the id maps.
//  4. I: closes what it has inherited, makes its time namespace, forbids further namespaces,
//  acknowledges, waits at the gate.
//  5. L: checks who owns which namespace; idmapped clone of the tree; /dev, pts, shm, run, tmp;
//     /proc, by a helper in I's pid namespace, masked; /sys; pivot_root. L ends.
//  6. S: the proxy's listeners and sockets. All before OpenGate.
//  7. I: session, ids, keyring, bounding set → seccomp → capset, each checked; its listener goes to
//     S; executes bailey-init, which waits for the start command.
//
// Up to 5, a failure ends L and I: what they made goes with them.
#include "supervisor/tenant_launch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "base/files.h"
#include "base/log.h"
#include "base/message.h"
#include "base/syscalls.h"
#include "supervisor/fuse_mount.h"
#include "supervisor/launcher.h"
#include "supervisor/pod_message.h"
#include "supervisor/process_group.h"
#include "supervisor/processor_share.h"
#include "supervisor/walls.h"

namespace bailey::supervisor {
namespace {

constexpr int kPatience = 15'000;  // milliseconds, for a launcher or an init that is stuck
constexpr size_t kProgramLimit = 16 << 20;
#ifndef MFD_EXEC
constexpr unsigned MFD_EXEC = 0x0010U;  // linux/memfd.h of 6.3
#endif

const char* StageName(LaunchStage stage) {
  switch (stage) {
    case LaunchStage::kNamespaces:
      return "stage 2, namespaces and network";
    case LaunchStage::kClone:
      return "stage 3, clone the tenant";
    case LaunchStage::kForbid:
      return "stage 4, forbid further namespaces";
    case LaunchStage::kRoot:
      return "stage 5, mounts and root";
  }
  return "an unknown stage";
}

Result<LaunchedTenant> ReadLaunchReport(int socket) {
  BAILEY_TRY(AwaitReadable(socket, kPatience));
  auto message = ReceivePod<LaunchReport>(socket);
  if (!message) return Errno("the launcher has ended", ECHILD);
  LaunchReport& report = message->pod;
  report.context.back() = '\0';
  if (report.error != 0)
    return Errno(report.context.data(), report.error).Within(StageName(report.stage));
  if (message->fds.size() != 3) return Errno("report of the launcher", EPROTO);
  LaunchedTenant tenant;
  tenant.init_pid = report.init_pid;
  tenant.init_pidfd = std::move(message->fds[0]);
  tenant.netns = std::move(message->fds[1]);
  tenant.dev_pts = std::move(message->fds[2]);
  return tenant;
}

Error GateError(const InitMessage& message) {
  return Errno(WallStepName(static_cast<WallStep>(message.value)), message.error)
      .Within("stage 7, the walls");
}

// Why init gave up before the gate, if that is what happened.
std::optional<Error> InitFailure(int control) {
  InitMessage message{};
  const ssize_t got = ::recv(control, &message, sizeof message, MSG_DONTWAIT);
  if (got != sizeof message || message.type != InitMessageType::kFailed) return std::nullopt;
  return Errno(WallStepName(static_cast<WallStep>(message.value)), message.error)
      .Within(StageName(LaunchStage::kForbid));
}

// The next message of init while it raises its walls, with the descriptor that kWalls carries.
Result<UniqueFd> ReceiveAtGate(int control, InitMessageType wanted) {
  BAILEY_TRY(AwaitReadable(control, kPatience));
  auto message = ReceivePod<InitMessage>(control);
  if (!message) return Errno("init has ended at the gate", ECHILD);
  if (message->pod.type == InitMessageType::kFailed) return GateError(message->pod);
  const size_t fds = wanted == InitMessageType::kWalls ? 1 : 0;
  if (message->pod.type != wanted || message->fds.size() != fds)
    return Errno("message of init", EPROTO);
  return fds == 0 ? UniqueFd() : std::move(message->fds[0]);
}

}  // namespace

Result<UniqueFd> LoadInitProgram(const std::string& path) {
  const auto file = OpenPath(path, O_RDONLY);
  if (!file) return file.error().WithHint("bailey-init lies beside bailey-supervisor");
  const auto program = ReadAll(file->get(), kProgramLimit);
  if (!program) return program.error().Within(path);
  const auto memory = SealedText("bailey-init", *program, MFD_EXEC);
  if (!memory) return memory.error();
  // Executable, not readable: the kernel then makes the process undumpable from its first
  // instruction, in the eyes of everybody but the host's root.
  if (::fchmod(memory->get(), 0711) != 0) return Errno("fchmod bailey-init");
  // A running program cannot be executed through a descriptor that could write it (ETXTBSY).
  return OpenPath("/proc/self/fd/" + std::to_string(memory->get()), O_RDONLY);
}

Result<LaunchedTenant> LaunchTenant(const LaunchRequest& request) {
  UniqueFd program(::fcntl(request.init_program, F_DUPFD_CLOEXEC, 3));
  if (!program) return Errno("dup the init program");
  const auto processors = ProcessorsOf(request.config);
  if (!processors) return processors.error();
  auto control = MakeMessagePair();
  auto report = MakeMessagePair();
  if (!control) return control.error();
  if (!report) return report.error();
  clone_args args{};
  args.exit_signal = SIGCHLD;
  const pid_t launcher = sys::Clone3(args);
  if (launcher < 0) return Errno("clone3 of the launcher");
  if (launcher == 0) RunLauncher(request, report->theirs.get(), control->theirs.get());
  ::setpgid(launcher, launcher);  // as it does itself: whoever is first
  report->theirs.Reset();
  control->theirs.Reset();
  auto tenant = ReadLaunchReport(report->ours.get());
  if (!tenant) {
    // A launcher that waits for a stuck file server outlives SIGKILL until it is cut off.
    if (tenant.error().Errno() == ETIMEDOUT) {
      if (const Status cut = AbortFuseOf(request.fuse_mount); !cut)
        LogError("launch: " + cut.error().Message());
      if (request.machine >= 0) (void)AbortFuseOf(request.machine);
    }
    EndProcessGroup(launcher);  // init is in it until the gate opens
    return InitFailure(control->ours.get()).value_or(tenant.error());
  }
  Reap(launcher);
  tenant->control = std::move(control->ours);
  tenant->init_program = std::move(program);
  tenant->uid_base = request.config.uid_base;
  tenant->allow = request.allow;
  tenant->processors = *processors;
  return tenant;
}

Result<UniqueFd> OpenGate(const LaunchedTenant& tenant) {
  const int control = tenant.control.get();
  if (SendPod(control, InitMessage{InitMessageType::kOpenGate}) != 0) return Errno("open the gate");
  auto listener = ReceiveAtGate(control, InitMessageType::kWalls);
  if (!listener) return listener;
  const auto ready = ReceiveAtGate(control, InitMessageType::kReady);
  if (!ready) return ready.error();
  return listener;
}

void EndInit(const LaunchedTenant& tenant) {
  sys::PidfdSendSignal(tenant.init_pidfd.get(), SIGKILL);
  Reap(tenant.init_pid);
}

Status SendStart(int control, const std::vector<std::string>& argv,
                 const std::vector<std::string>& env) {
  InitMessage message{InitMessageType::kStart};
  message.argc = static_cast<uint32_t>(argv.size());
  message.strings = static_cast<uint32_t>(argv.size() + env.size());
  std::string text(reinterpret_cast<const char*>(&message), sizeof message);
  for (const auto* list : {&argv, &env})
    for (const std::string& each : *list) {
      if (each.find('\0') != std::string::npos)
        return Invalid("the start command has a zero byte in it");
      text.append(each).push_back('\0');
    }
  return SendMessage(control, text);
}

Status SendStop(int control, int signal) {
  if (SendPod(control, InitMessage{InitMessageType::kStop, signal}) != 0)
    return Errno("send stop to init");
  return {};
}

Result<InitMessage> ReceiveInitMessage(int control) {
  const auto message = ReceivePod<InitMessage>(control);
  if (!message) return message.error();
  const InitMessageType type = message->pod.type;
  if (type != InitMessageType::kStarted && type != InitMessageType::kStartFailed &&
      type != InitMessageType::kExited && type != InitMessageType::kIdle &&
      type != InitMessageType::kShutdown)
    return Errno("message of init", EPROTO);
  return message->pod;
}

}  // namespace bailey::supervisor
