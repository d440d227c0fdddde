#include "tests/ns/netproxy_world.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <utility>

#include "base/files.h"
#include "base/namespaces.h"
#include "supervisor/cgroup_host.h"
#include "supervisor/proxy_sockets.h"
#include "supervisor/tenant_network.h"
#include "tests/support/in_child.h"
#include "tests/support/require.h"

namespace bailey::netproxy {
namespace {

void Run(const std::string& command) { Require(std::system(command.c_str()) == 0, command); }

std::string CgroupPath(pid_t owner) {
  const auto host = supervisor::CgroupHost::Detect();
  Require(host.has_value(), "cgroup v2");
  return host->Unified("bailey-netproxy-test-" + std::to_string(owner));
}

UniqueFd NewNetns() {
  const UniqueFd home(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  Require(::unshare(CLONE_NEWNET) == 0, "unshare");
  UniqueFd made(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  Require(::setns(home.get(), CLONE_NEWNET) == 0, "setns");
  return made;
}

std::string PathOf(const UniqueFd& fd) {
  return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd.get());
}

}  // namespace

World::World(Options options) : options_(std::move(options)) {
  config_.tenant = "test";
  config_.ip = *IpAddress::Parse(options_.tenant_ip);
  config_.tenant_uids = {kUidBase, kUidBase + 10 * 65536 - 1};
  config_.peers = {*Cidr::Parse(kPeerIp)};
  if (options_.configure) options_.configure(config_);
  MakeNetworks();
  cgroup_path_ = CgroupPath(::getppid());
  Require(::mkdir(cgroup_path_.c_str(), 0755) == 0, "mkdir " + cgroup_path_);
  cgroup_.Reset(::open(cgroup_path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  Require(cgroup_.get() >= 0, cgroup_path_);
  const std::string servers = cgroup_path_ + "-servers";
  Require(::mkdir(servers.c_str(), 0755) == 0, "mkdir " + servers);
  servers_.Reset(::open(servers.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  auto guard =
      supervisor::SourceGuard::Attach(guard_loop_, servers_.get(), config_.ip, [](auto) {});
  Require(guard.has_value(), "the source guard");
  guard_ = std::move(*guard);
  Require(guard_->SetResolvers(config_.resolvers));
  auto memory = MakeCounterMemory("net");
  Require(memory.has_value(), "counters");
  counters_fd_ = std::move(*memory);
  auto counters = CounterMapping<NetCounter>::Map(counters_fd_.get(), true);
  Require(counters.has_value(), "counters");
  counters_ = std::move(*counters);
  StartMakers();
  supervisor_ = std::make_unique<PlayedSupervisor>(
      PlayedSupervisor::Setup{config_, tenant_.get(), cgroup_.get(), servers_.get(),
                              counters_fd_.get(), published_sockets_.link.get()});
  if (options_.start_proxy) StartProxy();
}

World::~World() {
  KillProxy();
  for (const Maker* each : {&tenants_sockets_, &published_sockets_}) {
    ::kill(each->pid, SIGKILL);
    ::waitpid(each->pid, nullptr, 0);
  }
  EXPECT_EQ(guard_->stopped(), 0u) << "the proxy has tried to speak from another address";
}

void World::MakeNetworks() {
  tenant_ = NewNetns();
  world_ = NewNetns();
  host_.Reset(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  const std::string in_world = "nsenter --net=" + PathOf(world_) + " ip ";
  Run("ip link set lo up");
  Run("ip link add outside type veth peer name host netns " + PathOf(world_));
  // No link-local addresses that come up later: the proxy would look at them.
  Run("ip link set outside addrgenmode none && ip link set outside up");
  Run("ip addr add 203.0.113.1/24 dev outside");
  Run("ip addr add 203.0.113.7/32 dev outside && ip addr add 203.0.113.8/32 dev outside");
  Run("ip route add 198.51.100.0/24 via 203.0.113.200");
  Run(in_world + "link set lo up && " + in_world + "addr add 203.0.113.200/24 dev host");
  Run(in_world + "link set host up && " + in_world + "addr add 198.51.100.9/32 dev lo");
  if (config_.ip.is_v6()) {
    Run("ip -6 addr add " + options_.tenant_ip + "/64 dev outside nodad");
    Run(in_world + "-6 addr add 2001:db8:113::200/64 dev host nodad");
  }
  auto scope = NetnsScope::Enter(tenant_.get());
  Require(scope.has_value(), "enter the tenant");
  Require(supervisor::ConfigureTenantNetwork(config_.ip, kUidBase));
}

// A process of the group `group` that serves one request after another. Sockets keep the cgroup and
// the network namespace of the process that made them.
World::Maker World::StartMaker(const std::string& group,
                               const std::function<void(int link, const Message&)>& serve) const {
  auto pair = MakeMessagePair();
  Require(pair.has_value(), "socketpair");
  const pid_t pid = ::fork();
  if (pid != 0) return {pid, std::move(pair->ours)};
  pair->ours.Reset();
  Require(WriteControl(group + "/cgroup.procs", "0"));
  for (;;) {
    const auto request = ReceiveMessage(pair->theirs.get());
    if (!request) ::_exit(0);
    serve(pair->theirs.get(), *request);
  }
}

void World::StartMakers() {
  tenants_sockets_ = StartMaker(cgroup_path_, [this](int link, const Message& request) {
    Require(::setns(tenant_.get(), CLONE_NEWNET) == 0, "setns");
    std::array<int, 3> what{};
    std::memcpy(what.data(), request.text.data(), sizeof what);
    // ping_group_range inside is the tenant's.
    Require(::setegid(what[2] != 0 ? kUidBase : 0) == 0, "setegid");
    const UniqueFd socket = PatientSocket(what[0], what[1], what[2]);
    Require(SendMessage(link, "socket", {socket.get()}));
  });
  published_sockets_ = StartMaker(cgroup_path_ + "-servers", [this](int link, const Message& port) {
    const auto socket =
        supervisor::MakePublishedSocket(config_.ip, *PublishedPort::Parse(port.text), kProxyUid);
    Require(SendMessage(link, std::to_string(socket ? 0 : socket.error().Errno()),
                        socket ? std::vector<int>{socket->get()} : std::vector<int>{}));
  });
}

UniqueFd World::Tenant(int type, int family) const { return Make(type, family, 0); }

UniqueFd World::Ping(int family) const {
  return Make(
      SOCK_DGRAM, family,
      family == AF_INET6 ? static_cast<int>(IPPROTO_ICMPV6) : static_cast<int>(IPPROTO_ICMP));
}

UniqueFd World::Make(int type, int family, int protocol) const {
  const std::array<int, 3> what = {type, family, protocol};
  Require(SendMessage(tenants_sockets_.link.get(),
                      {reinterpret_cast<const char*>(what.data()), sizeof what}));
  auto reply = ReceiveMessage(tenants_sockets_.link.get());
  Require(reply.has_value() && reply->fds.size() == 1, "a socket of the tenant's");
  return std::move(reply->fds.front());
}

UniqueFd World::In(int netns, int type, int family) const {
  auto scope = NetnsScope::Enter(netns);
  Require(scope.has_value(), "enter a network namespace");
  return PatientSocket(type, family);
}

UniqueFd World::Host(int type, int family) const { return In(host_.get(), type, family); }
UniqueFd World::Outside(int type, int family) const { return In(world_.get(), type, family); }
UniqueFd World::Inside(int type, int family) const { return In(tenant_.get(), type, family); }

void World::SendConfig(const ProxyConfig& config) {
  Require(guard_->SetResolvers(config.resolvers));
  supervisor_->Send(FormatConfigMessage(config));
}

void InWorld(const std::function<void()>& body) {
  InChild(CLONE_NEWNET, body);
  // Whatever became of the child: its processes have gone with it, or are killed here.
  for (const std::string& path : {CgroupPath(::getpid()), CgroupPath(::getpid()) + "-servers"}) {
    if (::access(path.c_str(), F_OK) != 0) continue;
    EXPECT_TRUE(WriteControl(path + "/cgroup.kill", "1"));
    EXPECT_TRUE(World::Await([&] { return ::rmdir(path.c_str()) == 0; }));
  }
}

}  // namespace bailey::netproxy
