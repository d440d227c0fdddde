#include "supervisor/launcher.h"

#include <fcntl.h>
#include <linux/securebits.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/log.h"
#include "base/syscalls.h"
#include "supervisor/etc_files.h"
#include "supervisor/init_gate.h"
#include "supervisor/kept_capabilities.h"
#include "supervisor/mount_tree.h"
#include "supervisor/namespace_owners.h"
#include "supervisor/pod_message.h"
#include "supervisor/process_limits.h"
#include "supervisor/processor_share.h"
#include "supervisor/ptrace_right.h"
#include "supervisor/tenant_mounts.h"
#include "supervisor/tenant_network.h"

namespace bailey::supervisor {
namespace {

constexpr uint64_t kInitNamespaces =
    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
constexpr uint32_t kMappedIds = 65535;  // base + 65535 is the proxy's, and nobody's inside
constexpr int kInitPatience = 10'000;   // milliseconds

timespec ToTimespec(std::chrono::nanoseconds since_boot) {
  constexpr int64_t kSecond = 1'000'000'000;
  return {since_boot.count() / kSecond, since_boot.count() % kSecond};
}

class Launcher {
 public:
  Launcher(const LaunchRequest& request, int control) : request_(request), control_(control) {}

  Status Run();
  LaunchStage stage() const { return stage_; }
  pid_t init_pid() const { return init_pid_; }
  std::vector<int> Fds() const { return {init_pidfd_.get(), netns_.get(), dev_pts_.get()}; }

 private:
  Status MakeNamespaces();
  Status JoinGroups();
  Status CloneInit();
  Status WriteMaps();
  Status AwaitInit();
  Status MakeRoot();
  Status TakeMachine(MachineFiles* files);
  Status PivotRoot();

  const LaunchRequest& request_;
  const int control_;
  LaunchStage stage_ = LaunchStage::kNamespaces;
  pid_t init_pid_ = -1;
  UniqueFd init_pidfd_, netns_, dev_pts_;
  UniqueFd root_;       // the tenant's tree: detached, then attached over our root
  UniqueFd from_init_;  // one byte: stage 4 is done
};

Status Launcher::MakeNamespaces() {
  // Before the mount namespace is ours: what is to be cloned must be in the caller's.
  auto root = CloneMount(request_.fuse_mount, "");
  if (!root) return root.error().Within("the tenant's tree");
  root_ = std::move(*root);
  BAILEY_TRY(MakeMountPoints(request_.fuse_mount));
  // Names are furniture: what the tenant has put in the way, a full disk say, must not keep it
  // down.
  if (const Status written = WriteEtcFiles(request_.fuse_mount, request_.upper, request_.config);
      !written)
    LogWarning("the names in /etc are not up to date: " + written.error().Message());
  if (::unshare(CLONE_NEWNS) != 0) return Errno("unshare the mount namespace");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return Errno("make all mounts private");
  if (::unshare(CLONE_NEWNET) != 0) return Errno("unshare the network namespace");
  auto netns = OpenPath("/proc/self/ns/net", O_RDONLY);
  if (!netns) return netns.error();
  netns_ = std::move(*netns);
  return ConfigureTenantNetwork(request_.config.ip, request_.config.uid_base);
}

// Into the v1 groups before the clone: init inherits them, and its cgroup namespace has them as its
// roots. `tasks`, not cgroup.procs: a lone thread moves without waiting for RCU.
Status Launcher::JoinGroups() {
  for (const std::string& tasks : request_.cgroup.TenantTasks())
    BAILEY_TRY(WriteControl(tasks, "0"));
  if (SetTenantProcessLimits(request_.allow) != 0) return Errno("set the limits of processes");
  const auto processors = ProcessorsOf(request_.config);
  if (!processors) return processors.error();
  if (TakeProcessors(*processors) != 0) return Errno("sched_setaffinity");
  return {};
}

Status Launcher::CloneInit() {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0)
    return Errno("socketpair");
  from_init_.Reset(pair[0]);
  const UniqueFd to_launcher(pair[1]);
  if (::syscall(SYS_setgroups, 0, nullptr) != 0) return Errno("setgroups");
  if (::chdir("/") != 0) return Errno("chdir /");  // pivot_root takes along whoever is at the root
  // The effective uid of who makes a user namespace pays for what it counts (inotify and others);
  // with SECBIT_NO_SETUID_FIXUP we keep the capabilities that CLONE_INTO_CGROUP asks for.
  const uint32_t base = request_.config.uid_base;
  if (::prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) != 0 ||
      ::syscall(SYS_setresgid, -1, base, -1) != 0 || ::syscall(SYS_setresuid, -1, base, -1) != 0 ||
      ::prctl(PR_SET_DUMPABLE, 0) != 0)
    return Errno("take the tenant's uid");
  const InitGate gate{to_launcher.get(),
                      control_,
                      request_.console,
                      request_.init_program,
                      request_.config.hostname.c_str(),
                      KeptCapabilityMask(request_.allow),
                      request_.allow.mount,
                      ToTimespec(request_.started),
                      &request_.filter};
  int pidfd = -1;
  clone_args args{};
  args.flags = kInitNamespaces | CLONE_PIDFD | CLONE_INTO_CGROUP | CLONE_PARENT;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.cgroup = static_cast<uint64_t>(request_.cgroup.tenant_fd());
  init_pid_ = sys::Clone3(args);
  if (init_pid_ == 0) RunInitToGate(gate);
  const int error = errno;
  if (::syscall(SYS_setresuid, -1, 0, -1) != 0 || ::syscall(SYS_setresgid, -1, 0, -1) != 0 ||
      ::prctl(PR_SET_SECUREBITS, 0) != 0)
    return Errno("be root again");
  if (init_pid_ < 0) return Errno("clone3", error);
  init_pidfd_.Reset(pidfd);
  return {};
}

Status Launcher::WriteMaps() {
  const std::string map =
      "0 " + std::to_string(request_.config.uid_base) + " " + std::to_string(kMappedIds) + "\n";
  const std::string proc = "/proc/" + std::to_string(init_pid_);
  BAILEY_TRY(WriteControl(proc + "/uid_map", map));
  return WriteControl(proc + "/gid_map", map);
}

Status Launcher::AwaitInit() {
  BAILEY_TRY(AwaitReadable(from_init_.get(), kInitPatience));
  char done = 0;
  if (::read(from_init_.get(), &done, 1) != 1) return Errno("init has ended", ECHILD);
  return CheckNamespaceOwners(init_pid_);
}

Status Launcher::TakeMachine(MachineFiles* files) {
  if (request_.machine < 0) return {};
  // /proc is still empty, and will be covered.
  const auto place = OpenBeneathNoSymlinks(root_.get(), "proc", O_PATH | O_DIRECTORY);
  if (!place) return place.error();
  auto taken = MachineFiles::Take(request_.machine, place->get());
  if (!taken) return taken.error();
  *files = std::move(*taken);
  return {};
}

Status Launcher::MakeRoot() {
  const auto userns = OpenPath("/proc/" + std::to_string(init_pid_) + "/ns/user", O_RDONLY);
  if (!userns) return userns.error();
  BAILEY_TRY(AddMountAttributes(root_.get(), MOUNT_ATTR_NODEV));
  if (Status mapped = IdmapMount(root_.get(), userns->get()); !mapped)
    return mapped.error().Within("the tenant's tree");
  // Over our own root: the one place that every host has. Paths of ours still lead to the host's
  // tree, since a walk starts below what is mounted on its first directory.
  const auto slash = OpenPath("/", O_PATH | O_DIRECTORY);
  if (!slash) return slash.error();
  BAILEY_TRY(AttachMount(root_.get(), slash->get()));
  const MountIds ids{request_.config.uid_base, request_.config.limits.memory_bytes};
  BAILEY_TRY(MountDev(root_.get(), ids));
  BAILEY_TRY(MountRunAndTmp(root_.get(), ids));
  MachineFiles machine;
  BAILEY_TRY(TakeMachine(&machine));
  BAILEY_TRY(MountProc(root_.get(), init_pidfd_.get(), machine));
  BAILEY_TRY(MountSys(root_.get(), machine));
  auto pts = OpenBeneathNoSymlinks(root_.get(), "dev/pts", O_PATH | O_DIRECTORY);
  if (!pts) return pts.error();
  dev_pts_ = std::move(*pts);
  return {};
}

Status Launcher::PivotRoot() {
  // Both are "here": the old root ends up below the new one and is taken away (pivot_root(2)).
  if (::fchdir(root_.get()) != 0) return Errno("enter the new root");
  if (sys::PivotRoot(".", ".") != 0) return Errno("pivot_root");
  if (::umount2(".", MNT_DETACH) != 0) return Errno("unmount the old root");
  if (::chdir("/") != 0) return Errno("chdir /");
  struct stat wanted {
  }, seen{};
  if (::fstat(root_.get(), &wanted) != 0 || ::stat("/", &seen) != 0) return Errno("stat /");
  if (wanted.st_dev != seen.st_dev || wanted.st_ino != seen.st_ino)
    return Errno("check that / is the tenant's tree", EPERM);
  return CheckMountFlags(root_.get(), ST_NODEV, "/");
}

Status Launcher::Run() {
  BAILEY_TRY(MakeNamespaces());
  stage_ = LaunchStage::kClone;
  BAILEY_TRY(JoinGroups());
  BAILEY_TRY(CloneInit());
  BAILEY_TRY(WriteMaps());
  stage_ = LaunchStage::kForbid;
  BAILEY_TRY(AwaitInit());
  stage_ = LaunchStage::kRoot;
  BAILEY_TRY(MakeRoot());
  return PivotRoot();
}

}  // namespace

void RunLauncher(const LaunchRequest& request, int report_fd, int control) {
  // One process group with init, by which the supervisor finds both if we are killed.
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::umask(0);
  RaisePtraceRight();  // the checks ask for it; its lack is found there
  Launcher launcher(request, control);
  const Status launched = launcher.Run();
  LaunchReport report;
  report.stage = launcher.stage();
  report.init_pid = launcher.init_pid();
  std::vector<int> fds;
  if (launched) {
    fds = launcher.Fds();
  } else {
    report.error = launched.error().Errno();
    launched.error().context.copy(report.context.data(), report.context.size() - 1);
  }
  ::_exit(SendPod(report_fd, report, fds) == 0 ? 0 : 1);
}

}  // namespace bailey::supervisor
