// The proxy as a process: its walls, its restart, what it leaves behind.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <csignal>
#include <sstream>
#include <thread>

#include "base/files.h"
#include "netproxy/confinement.h"
#include "tests/ns/netproxy_world.h"
#include "tests/support/in_child.h"

namespace bailey::netproxy {
namespace {

std::string Proc(const World& world, const std::string& file) {
  return "/proc/" + std::to_string(world.proxy_pid()) + "/" + file;
}

std::string StatusField(const World& world, const std::string& key) {
  std::istringstream lines(*ReadFile(Proc(world, "status")));
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(key + ":")) {
      std::istringstream words(line.substr(key.size() + 1));
      std::string all, word;
      while (words >> word) all += (all.empty() ? "" : " ") + word;
      return all;
    }
  return "(no " + key + ")";
}

size_t Entries(const std::string& path) {
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return 0;
  size_t count = 0;
  while (const dirent* entry = ::readdir(directory))
    if (std::string(entry->d_name) != "." && std::string(entry->d_name) != "..") ++count;
  ::closedir(directory);
  return count;
}

TEST(Process, HasGivenUpEverything) {
  InWorld([] {
    const World world;
    const std::string uid = std::to_string(kProxyUid);
    const std::string four = uid + " " + uid + " " + uid + " " + uid;
    EXPECT_EQ(StatusField(world, "Uid"), four);
    EXPECT_EQ(StatusField(world, "Gid"), four);
    EXPECT_EQ(StatusField(world, "Groups"), "");
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"})
      EXPECT_EQ(StatusField(world, set), "0000000000000000") << set;
    EXPECT_EQ(StatusField(world, "NoNewPrivs"), "1");
    EXPECT_EQ(StatusField(world, "Seccomp"), "2");
    EXPECT_EQ(Entries(Proc(world, "root")), 0u);
    EXPECT_EQ(StatusField(world, "Threads"), "1");
  });
}

// What a call does to a confined process: an errno, or -1 for death by SIGSYS.
int AfterConfinement(const std::function<long()>& call) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (!Confine(kProxyUid)) ::_exit(255);
    errno = 0;
    ::_exit(call() < 0 ? errno : 0);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS ? -1 : WEXITSTATUS(status);
}

#ifdef BAILEY_SANITIZE
// The list only logs there: the other walls answer.
#define EXPECT_KILLED(call) EXPECT_NE(AfterConfinement([]() -> long { return call; }), 0) << #call
#else
#define EXPECT_KILLED(call) EXPECT_EQ(AfterConfinement([]() -> long { return call; }), -1) << #call
#endif

TEST(Confinement, KillsWhatRelayingDoesNotNeed) {
  EXPECT_EQ(AfterConfinement([] { return 0L; }), 0);
  EXPECT_EQ(AfterConfinement([]() -> long { return ::socket(AF_INET, SOCK_STREAM, 0) < 0; }), 0);
  EXPECT_KILLED(::open("/etc/passwd", O_RDONLY | O_CLOEXEC));
  EXPECT_KILLED(::execl("/bin/true", "true", nullptr));
  EXPECT_KILLED(::ptrace(PTRACE_ATTACH, ::getppid(), 0, 0));
  EXPECT_KILLED(::kill(::getppid(), 0));
  EXPECT_KILLED(::setns(0, CLONE_NEWNET));
  EXPECT_KILLED(::setsockopt(0, SOL_IP, IP_HDRINCL, nullptr, 0));
  EXPECT_KILLED(::setsockopt(0, SOL_IPV6, 36 /* IPV6_HDRINCL */, nullptr, 0));
  EXPECT_KILLED(::setsockopt(0, SOL_RAW, IP_HDRINCL, nullptr, 0));
  EXPECT_KILLED(::socket(AF_PACKET, SOCK_RAW, 0));
  EXPECT_KILLED(::setresuid(0, 0, 0));
#ifndef BAILEY_SANITIZE
  EXPECT_KILLED(::openat(AT_FDCWD, "/", O_RDONLY | O_CLOEXEC));
  EXPECT_KILLED(::unshare(CLONE_NEWUSER));
  EXPECT_KILLED(::fork());
  EXPECT_KILLED(::socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_KILLED(::socket(AF_NETLINK, SOCK_RAW, 0));
  EXPECT_KILLED(::listen(0, 1));
  EXPECT_KILLED(reinterpret_cast<long>(
      ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
#endif
}

TEST(Process, EndsWithTheSupervisor) {
  InWorld([] {
    World world;
    world.HangUp();
    EXPECT_TRUE(World::Await([&] { return !world.ProxyIsAlive(); }));
  });
}

TEST(Process, ARestartRefusesNoConnection) {
  InWorld([] {
    World world;
    const UniqueFd inside = world.Tenant(), outside = world.Outside();
    Listen(inside, At("0.0.0.0", 80));
    Listen(outside, At(kWorldIp, 8000));
    ASSERT_TRUE(World::Await([&] { return world.IsPublished(80); }));
    UniqueFd gone = world.Tenant();
    Listen(gone, At("0.0.0.0", 81));
    ASSERT_TRUE(World::Await([&] { return world.IsPublished(81); }));

    world.KillProxy();
    // Without a proxy: walls stand, connections wait.
    EXPECT_EQ(ConnectTo(world.Tenant(), At("10.0.0.1", 80)), EACCES);
    const UniqueFd in = world.Outside(), out = world.Tenant(SOCK_STREAM | SOCK_NONBLOCK);
    ASSERT_EQ(BindAt(in, At(kWorldIp, 0)), 0);
    EXPECT_EQ(ConnectTo(in, At(kTenantIp, 80)), 0);
    EXPECT_EQ(ConnectTo(out, At(kWorldIp, 8000)), EINPROGRESS);
    gone.Reset();
    UniqueFd late = world.Tenant();
    Listen(late, At("0.0.0.0", 82));

    world.StartProxy();
    Send(in, "in");
    Endpoint from;
    const UniqueFd accepted_in = Accept(inside, &from);
    EXPECT_EQ(from.address.ToString(), kWorldIp);
    EXPECT_EQ(Receive(accepted_in, 2), "in");
    const UniqueFd accepted_out = Accept(outside);
    EXPECT_TRUE(World::Await([&] { return ConnectTo(out, At(kWorldIp, 8000)) == 0; }));
    Send(out, "out");
    EXPECT_EQ(Receive(accepted_out, 3), "out");
    EXPECT_TRUE(World::Await([&] { return world.IsPublished(82); }));
    EXPECT_TRUE(World::Await([&] { return !world.IsPublished(81); }));
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kDeniedPrivate) == 1; }));
    late.Reset();
    EXPECT_TRUE(World::Await([&] { return !world.IsPublished(82); }));
  });
}

TEST(Process, LeaksNoDescriptor) {
  InWorld([] {
    World world;
    const UniqueFd inside = world.Tenant(), outside = world.Outside();
    Listen(inside, At("0.0.0.0", 80));
    Listen(outside, At(kWorldIp, 8000));
    ASSERT_TRUE(World::Await([&] { return world.IsPublished(80); }));
    std::thread server([&] {
      for (int i = 0; i < 1000; ++i) Send(Accept(outside), "x");
    });
    std::thread inner([&] {
      for (int i = 0; i < 1000; ++i) Send(Accept(inside), "x");
    });
    size_t before = 0;
    for (int i = 0; i < 1000; ++i) {
      const UniqueFd out = world.Tenant(), in = world.Outside();
      ASSERT_EQ(ConnectTo(out, At(kWorldIp, 8000)), 0);
      ASSERT_EQ(ConnectTo(in, At(kTenantIp, 80)), 0);
      EXPECT_EQ(Receive(out, 1), "x");
      EXPECT_EQ(Receive(in, 1), "x");
      if (i != 100) continue;
      before = Entries(Proc(world, "fd"));
    }
    server.join();
    inner.join();
    ASSERT_TRUE(World::Await([&] { return world.Count(NetCounter::kOpenConnections) == 0; }));
    // The stock of sockets inside breathes; nothing else may have grown.
    EXPECT_LE(Entries(Proc(world, "fd")), before + 32);
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kConnectionsOut) == 1000u; }));
    EXPECT_TRUE(World::Await([&] { return world.Count(NetCounter::kConnectionsIn) == 1000u; }));
  });
}

// CPU time of the proxy in clock ticks.
TEST(Process, SleepsWhileNothingHappens) {
  InWorld([] {
    World world;
    const UniqueFd listener = world.Tenant();
    Listen(listener, At("0.0.0.0", 80));
    ASSERT_TRUE(World::Await([&] { return world.IsPublished(80); }));
    ConnectTo(world.Tenant(), At("10.0.0.1", 80));  // a refusal is reported, and then forgotten
    ::sleep(1);
    const std::string before = StatusField(world, "voluntary_ctxt_switches");
    ::sleep(2);
    EXPECT_EQ(StatusField(world, "voluntary_ctxt_switches"), before);
  });
}

}  // namespace
}  // namespace bailey::netproxy
