// The start of a tenant on the real kernel, as far as bailey-init and back: who owns what, what
// stands, and that a stage that fails leaves nothing.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/nsfs.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>

#include "base/files.h"
#include "base/syscalls.h"
#include "supervisor/mount_tree.h"
#include "tests/support/tenant_fixture.h"

namespace bailey::supervisor {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

ino_t Inode(int fd) {
  struct stat status {};
  EXPECT_EQ(::fstat(fd, &status), 0);
  return status.st_ino;
}

std::string ProcOf(pid_t pid) { return "/proc/" + std::to_string(pid); }

// A field of /proc/PID/status.
std::string StatusField(pid_t pid, const std::string& name) {
  std::istringstream in(*ReadFile(ProcOf(pid) + "/status"));
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(name + ":")) return line.substr(name.size() + 2);
  return "none";
}

bool Ended(const LaunchedTenant& tenant, int milliseconds) {
  pollfd wait{tenant.init_pidfd.get(), POLLIN, 0};
  return ::poll(&wait, 1, milliseconds) == 1;
}

class Launch : public testing::Test {
 protected:
  void Start(const std::vector<std::string>& argv = {"/probe", "wait"}) {
    const Status started = fixture_.LaunchAndStart(argv);
    ASSERT_TRUE(started) << started.error().Message();
  }
  pid_t init() const { return fixture_.tenant().init_pid; }
  // The next one but kIdle.
  InitMessage Receive() {
    const auto message = ReceiveInitMessage(fixture_.tenant().control.get());
    if (message && message->type == InitMessageType::kIdle) return Receive();
    EXPECT_TRUE(message) << message.error().Message();
    return message ? *message : InitMessage{InitMessageType::kFailed};
  }
  std::string Cat(const std::string& path) { return fixture_.Run({"/probe", "cat", path}).output; }

  TenantFixture fixture_;
};

TEST_F(Launch, HostOwnsMountsAndNetworkTheTenantTheRest) {
  Start();
  const auto host = OpenPath("/proc/self/ns/user", O_RDONLY);
  const auto user = OpenPath(ProcOf(init()) + "/ns/user", O_RDONLY);
  uid_t owner = 0;
  ASSERT_EQ(::ioctl(user->get(), NS_GET_OWNER_UID, &owner), 0);
  EXPECT_EQ(owner, kTestUidBase) << "who made the user namespace pays for what it counts";
  const std::map<std::string, int> owners = {{"mnt", host->get()}, {"net", host->get()},
                                             {"pid", user->get()}, {"ipc", user->get()},
                                             {"uts", user->get()}, {"cgroup", user->get()}};
  for (const auto& [name, wanted] : owners) {
    const auto ns = OpenPath(ProcOf(init()) + "/ns/" + name, O_RDONLY);
    const auto ours = OpenPath("/proc/self/ns/" + name, O_RDONLY);
    const UniqueFd found(::ioctl(ns->get(), NS_GET_USERNS));
    ASSERT_TRUE(found) << name;
    EXPECT_EQ(Inode(found.get()), Inode(wanted)) << name;
    EXPECT_NE(Inode(ns->get()), Inode(ours->get())) << name;
  }
  EXPECT_EQ(Inode(fixture_.tenant().netns.get()),
            Inode(OpenPath(ProcOf(init()) + "/ns/net", O_RDONLY)->get()));
  const std::string map = "         0    1966080      65535\n";
  EXPECT_EQ(*ReadFile(ProcOf(init()) + "/uid_map"), map);
  EXPECT_EQ(*ReadFile(ProcOf(init()) + "/gid_map"), map);
}

TEST_F(Launch, InitStandsBehindEveryWall) {
  Start();
  constexpr char kKept[] = "00000000b0cca5fb";
  for (const char* full : {"CapPrm", "CapEff", "CapBnd"})
    EXPECT_EQ(StatusField(init(), full), kKept) << full;
  for (const char* empty : {"CapInh", "CapAmb"})
    EXPECT_EQ(StatusField(init(), empty), "0000000000000000") << empty;
  EXPECT_EQ(StatusField(init(), "Seccomp"), "2");
  EXPECT_EQ(StatusField(init(), "Seccomp_filters"), "2");
  EXPECT_EQ(StatusField(init(), "NoNewPrivs"), "0");
  EXPECT_EQ(StatusField(init(), "Uid"), "1966080\t1966080\t1966080\t1966080");
  EXPECT_EQ(StatusField(init(), "Gid"), "1966080\t1966080\t1966080\t1966080");
  EXPECT_EQ(StatusField(init(), "Groups"), " ");
  EXPECT_EQ(*ReadFile(ProcOf(init()) + "/oom_score_adj"), "0\n");
  EXPECT_EQ(*ReadFile(ProcOf(init()) + "/environ"), "");
  std::set<std::string> fds;
  for (const auto& fd : fs::directory_iterator(ProcOf(init()) + "/fd"))
    fds.insert(fd.path().filename().string());
  EXPECT_EQ(fds, (std::set<std::string>{"0", "1", "2", "3", "4"}));  // 4: its signalfd
  EXPECT_EQ(fs::read_symlink(ProcOf(init()) + "/fd/0"), "/dev/null");
}

TEST_F(Launch, ForbidsFurtherNamespacesBesideTheFilter) {
  Start();
  for (const char* name : {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"})
    EXPECT_EQ(Cat(std::string("/proc/sys/user/max_") + name + "_namespaces"), "0\n") << name;
}

TEST_F(Launch, ShowsTheTenantItsOwnMountsAlone) {
  Start();
  std::map<std::string, std::string> mounts;  // by place: options
  std::istringstream in(Cat("/proc/self/mountinfo"));
  for (std::string line; std::getline(in, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, place, options;
    fields >> id >> parent >> device >> root >> place >> options;
    EXPECT_TRUE(mounts.emplace(place, options).second) << "twice: " << line;
  }
  EXPECT_THAT(mounts.at("/"), HasSubstr("nodev"));
  EXPECT_THAT(mounts.at("/"), HasSubstr("idmapped"));
  for (const char* place : {"/dev", "/dev/pts", "/dev/shm", "/run", "/tmp", "/proc", "/sys"})
    EXPECT_THAT(mounts.at(place), HasSubstr("nosuid")) << place;
  for (const char* place : {"/proc/sys", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/keys",
                            "/proc/kmsg", "/proc/kallsyms", "/sys"})
    EXPECT_THAT(mounts.at(place), testing::StartsWith("ro,")) << place;
  for (const auto& [place, options] : mounts)
    EXPECT_TRUE(place == "/" || place.starts_with("/dev") || place.starts_with("/proc") ||
                place == "/run" || place == "/tmp" || place == "/sys")
        << place;
}

TEST_F(Launch, NamesTheHostAndItsResolver) {
  Start();
  EXPECT_EQ(Cat("/proc/sys/kernel/hostname"), "t.example\n");
  EXPECT_THAT(Cat("/etc/resolv.conf"), HasSubstr("\nnameserver 192.0.2.53\n"));
  EXPECT_THAT(Cat("/etc/hosts"), HasSubstr("\n203.0.113.7 t.example t\n"));
  EXPECT_THAT(*ReadFile(fixture_.root() + "/etc/resolv.conf"), HasSubstr("192.0.2.53"));
}

TEST_F(Launch, TellsHowTheStartCommandFares) {
  Start({"/probe", "exit", "7"});
  InitMessage message = Receive();
  EXPECT_EQ(message.type, InitMessageType::kExited);
  EXPECT_EQ(WEXITSTATUS(message.value), 7);
  const int control = fixture_.tenant().control.get();
  ASSERT_TRUE(SendStart(control, {"/none"}, {}));
  message = Receive();
  EXPECT_EQ(message.type, InitMessageType::kStartFailed);
  EXPECT_EQ(message.error, ENOENT);
  ASSERT_TRUE(SendStart(control, {"probe", "die", "9"}, {"PATH=/bin:/"}));
  EXPECT_EQ(Receive().type, InitMessageType::kStarted);
  message = Receive();
  EXPECT_EQ(message.type, InitMessageType::kExited);
  EXPECT_EQ(WTERMSIG(message.value), 9);
  ASSERT_TRUE(SendStart(control, {"/probe", "wait"}, {}));
  EXPECT_EQ(Receive().type, InitMessageType::kStarted);
  EXPECT_EQ(fixture_.ReadConsole(), "waiting\n");
  ASSERT_TRUE(SendStart(control, {"/probe", "wait"}, {}));
  EXPECT_EQ(Receive().type, InitMessageType::kStartFailed) << "it runs already";
}

TEST_F(Launch, InitReapsOrphans) {
  Start({"/probe", "orphans"});
  EXPECT_EQ(fixture_.ReadConsole(), "orphaned\n");
  const auto give_up = EventLoop::Clock::now() + std::chrono::seconds(10);
  while (fixture_.cgroup().TenantPids().size() > 2 && EventLoop::Clock::now() < give_up)
    fixture_.loop().RunOnce(std::chrono::milliseconds(10));
  EXPECT_EQ(fixture_.cgroup().TenantPids().size(), 2U);
}

TEST_F(Launch, StopsWhenToldOnceNobodyIsLeft) {
  Start();
  ASSERT_TRUE(SendStop(fixture_.tenant().control.get(), SIGTERM));
  EXPECT_EQ(Receive().type, InitMessageType::kExited);
  ASSERT_TRUE(Ended(fixture_.tenant(), 5000));
}

TEST_F(Launch, WaitsForThoseWhoDoNotListen) {
  Start({"/probe", "deaf"});
  EXPECT_EQ(fixture_.ReadConsole(), "deaf\n");
  ASSERT_TRUE(SendStop(fixture_.tenant().control.get(), SIGTERM));
  EXPECT_FALSE(Ended(fixture_.tenant(), 300));
  ASSERT_TRUE(SendStop(fixture_.tenant().control.get(), SIGKILL));
  EXPECT_TRUE(Ended(fixture_.tenant(), 5000));
}

TEST_F(Launch, EndsWithItsSupervisor) {
  ASSERT_TRUE(fixture_.Launch());
  EXPECT_FALSE(Ended(fixture_.tenant(), 50));
  ASSERT_EQ(::shutdown(fixture_.tenant().control.get(), SHUT_RDWR), 0);
  EXPECT_TRUE(Ended(fixture_.tenant(), 5000)) << "at the gate";
}

TEST_F(Launch, EndsWithItsSupervisorWhileItRuns) {
  Start();
  ASSERT_EQ(::shutdown(fixture_.tenant().control.get(), SHUT_RDWR), 0);
  EXPECT_TRUE(Ended(fixture_.tenant(), 5000));
}

// ---- what fails leaves nothing

struct Surroundings {
  std::set<std::string> mounts, fds;

  Surroundings() {
    std::istringstream in(*ReadFile("/proc/self/mountinfo"));
    for (std::string line; std::getline(in, line);) mounts.insert(line);
    for (const auto& fd : fs::directory_iterator("/proc/self/fd"))
      fds.insert(fd.path().filename().string());
  }
};

// Nothing has been added since. (Others' mounts may have gone, even from our copy of the namespace:
// with the directory that they were on.)
void ExpectNothingNew(const Surroundings& before) {
  const Surroundings now;
  EXPECT_EQ(now.fds, before.fds);
  for (const std::string& mount : now.mounts) EXPECT_TRUE(before.mounts.contains(mount)) << mount;
}

class FailedLaunch : public Launch {
 protected:
  // Mounts of the test's own: others on this machine come and go.
  static void SetUpTestSuite() {
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  }

  // Launches `request`, which must fail with `error` in a stage whose name starts so.
  void ExpectFailure(const LaunchRequest& request, int error, const std::string& stage) {
    const Surroundings before;
    const auto launched = LaunchTenant(request);
    ASSERT_FALSE(launched);
    EXPECT_EQ(launched.error().Errno(), error) << launched.error().Message();
    EXPECT_THAT(launched.error().Message(), testing::StartsWith(stage));
    ExpectNothingNew(before);
    EXPECT_THAT(fixture_.cgroup().TenantPids(), testing::IsEmpty());
    // Nobody is left to be reaped but the janitor, who lives.
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), 0);
  }
  void ExpectThatItCanStillStart() { Start(); }
};

TEST_F(FailedLaunch, InStage2WithoutATree) {
  LaunchRequest request = fixture_.Request();
  request.fuse_mount = -1;
  ExpectFailure(request, EBADF, "stage 2, namespaces and network: ");
  fs::remove(fixture_.root() + "/proc");
  ASSERT_TRUE(ReplaceFile(fixture_.root() + "/proc", "a file", 0644));
  ExpectFailure(fixture_.Request(), ENOTDIR, "stage 2, namespaces and network: ");
  fs::remove(fixture_.root() + "/proc");
  fs::create_symlink("/proc", fixture_.root() + "/proc");
  ExpectFailure(fixture_.Request(), ELOOP, "stage 2, namespaces and network: ");
  fs::remove(fixture_.root() + "/proc");
  ExpectThatItCanStillStart();
}

TEST_F(FailedLaunch, InStage3WithoutAGroup) {
  const TenantCgroup gone =
      TenantCgroup::Existing(*CgroupHost::Detect(), fixture_.config.cgroup + "x");
  const LaunchRequest request = fixture_.Request();
  const LaunchRequest other = {request.config,       request.allow,      gone,
                               request.filter,       request.fuse_mount, request.console,
                               request.init_program, request.upper};
  const Surroundings before;
  const auto launched = LaunchTenant(other);
  ASSERT_FALSE(launched);
  EXPECT_THAT(launched.error().Message(), testing::StartsWith("stage 3, clone the tenant: "));
  ExpectNothingNew(before);
  ExpectThatItCanStillStart();
}

TEST_F(FailedLaunch, InStage4) {
  const std::string hostname = fixture_.config.hostname;
  fixture_.config.hostname = std::string(65, 'x');
  ExpectFailure(fixture_.Request(), EINVAL, "stage 4, forbid further namespaces: ");
  fixture_.config.hostname = hostname;
  ExpectThatItCanStillStart();
}

TEST_F(FailedLaunch, InStage5OnATreeThatCannotBeTranslated) {
  ASSERT_EQ(::mount("r", fixture_.root().c_str(), "ramfs", 0, nullptr), 0);
  const auto tree = OpenPath(fixture_.root(), O_PATH | O_DIRECTORY);
  LaunchRequest request = fixture_.Request();
  request.fuse_mount = tree->get();
  ExpectFailure(request, EINVAL, "stage 5, mounts and root: ");
  ASSERT_EQ(::umount2(fixture_.root().c_str(), MNT_DETACH), 0);
}

TEST_F(FailedLaunch, AtTheGate) {
  const auto text = OpenPath("/etc/passwd", O_RDONLY);
  LaunchRequest request = fixture_.Request();
  request.init_program = text->get();
  const Surroundings before;
  {
    auto launched = LaunchTenant(request);
    ASSERT_TRUE(launched) << launched.error().Message();
    const auto opened = OpenGate(*launched);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().Message(), "stage 7, the walls: execute: Permission denied");
    EndInit(*launched);
  }
  ExpectNothingNew(before);
  {
    auto launched = LaunchTenant(fixture_.Request());
    ASSERT_TRUE(launched);
    sys::PidfdSendSignal(launched->init_pidfd.get(), SIGKILL);
    const auto opened = OpenGate(*launched);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().Errno(), ECHILD) << opened.error().Message();
    EndInit(*launched);
  }
  ExpectNothingNew(before);
  ExpectThatItCanStillStart();
}

TEST_F(FailedLaunch, ManyStartsAndEndsLeaveNothing) {
  const Surroundings before;
  for (int i = 0; i < 10; ++i) {
    Start();
    EXPECT_EQ(fixture_.Try("nothing"), 0);
    ASSERT_TRUE(fixture_.Stop());
    EXPECT_EQ(fixture_.ReadConsole(), "waiting\n");
  }
  ExpectNothingNew(before);
}

}  // namespace
}  // namespace bailey::supervisor
