#include "tests/ns/netproxy_world.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>
#include <csignal>
#include <cstdlib>
#include <utility>

#include "base/files.h"
#include "base/namespaces.h"
#include "supervisor/cgroup_host.h"
#include "supervisor/proxy_sockets.h"
#include "supervisor/tenant_network.h"
#include "tests/support/in_child.h"

namespace bailey::netproxy {
namespace {

constexpr timeval kPatience{10, 0};

// A test that cannot even be set up ends its child at once.
void Require(bool condition, const std::string& what) {
  if (condition) return;
  std::fprintf(stderr, "cannot set up the test: %s (errno %d)\n", what.c_str(), errno);
  ::_exit(3);
}
void Require(const Status& status) {
  Require(status.has_value(), status ? "" : status.error().Message());
}

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

UniqueFd PatientSocket(int type, int family, int protocol = 0) {
  UniqueFd socket(::socket(family, type | SOCK_CLOEXEC, protocol));
  Require(socket.get() >= 0, "socket");
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  return socket;
}

UniqueFd SealedText(const std::string& text) {
  UniqueFd memory(::memfd_create("config", MFD_CLOEXEC));
  Require(WriteAll(memory.get(), text));
  ::lseek(memory.get(), 0, SEEK_SET);
  return memory;
}

socklen_t Fill(const Endpoint& endpoint, sockaddr_storage& address) {
  return endpoint.ToSockaddr(&address);
}

}  // namespace

Endpoint At(const std::string& address, uint16_t port) {
  return {*IpAddress::Parse(address), port};
}

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

void World::StartProxy() {
  auto pair = MakeMessagePair();
  Require(pair.has_value(), "socketpair");
  const UniqueFd config = SealedText(FormatProxyConfig(config_));
  ChildOptions options;
  options.argv = {ProgramDirectory() + "/bailey-netproxy"};
  int next = 10;
  const auto pass = [&](const std::string& argument, const std::string& prefix, int fd) {
    options.fds.emplace_back(fd, next);
    options.argv.insert(options.argv.end(), {argument, prefix + std::to_string(next++)});
  };
  pass("--control-fd", "", pair->theirs.get());
  pass("--config-fd", "", config.get());
  pass("--counters-fd", "", counters_fd_.get());
  pass("--netns-fd", "", tenant_.get());
  pass("--cgroup-fd", "", cgroup_.get());
  options.argv.insert(options.argv.end(), {"--uid", std::to_string(kProxyUid)});
  for (const auto& [name, fd] : kept_) pass("--adopt-fd", name + "=", fd.get());
  for (const auto& [port, fd] : listeners_)
    pass("--adopt-fd", "listener:" + port.ToString() + "=", fd.get());
  options.into_cgroup = servers_.get();
  auto child = SpawnChild(options);
  Require(child.has_value(), "bailey-netproxy");
  proxy_ = std::move(*child);
  link_ = std::move(pair->ours);
  pair->theirs.Reset();
  ready_ = gone_ = drained_ = false;
  supervisor_ = std::thread([this] { ServeProxy(); });
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::seconds(20), [this] { return ready_ || gone_; });
  int status = 0;
  if (!ready_) ::waitpid(proxy_.pid, &status, 0);
  Require(ready_, "the proxy does not become ready, status " + std::to_string(status));
}

void World::ReplaceProxy() {
  Require(SendMessage(link_.get(), R"({"op":"drain"})"));
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(20), [this] { return drained_ || gone_; });
    Require(drained_, "the proxy does not drain");
  }
  supervisor_.join();
  replaced_.emplace_back(std::move(proxy_), std::move(link_));
  StartProxy();
}

bool World::ReplacedProxiesEnd() {
  for (const auto& [proxy, link] : replaced_) {
    const pid_t pid = proxy.pid;
    if (!Await([pid] { return ::waitpid(pid, nullptr, WNOHANG) == pid; })) return false;
  }
  replaced_.clear();
  return true;
}

void World::KillProxy() {
  for (const auto& [proxy, link] : std::exchange(replaced_, {})) {
    ::kill(proxy.pid, SIGKILL);
    ::waitpid(proxy.pid, nullptr, 0);
  }
  if (proxy_.pid <= 0) return;
  ::kill(proxy_.pid, SIGKILL);
  ::waitpid(proxy_.pid, nullptr, 0);
  proxy_ = {};
  supervisor_.join();
}

void World::HangUp() { ::shutdown(link_.get(), SHUT_RDWR); }

bool World::ProxyIsAlive() const { return ::waitpid(proxy_.pid, nullptr, WNOHANG) == 0; }

void World::SendConfig(const ProxyConfig& config) {
  Require(guard_->SetResolvers(config.resolvers));
  Require(SendMessage(link_.get(), FormatConfigMessage(config)));
}

bool World::IsPublished(uint16_t port, Transport transport) {
  const std::lock_guard lock(mutex_);
  return listeners_.contains({transport, port});
}

bool World::Await(const std::function<bool()>& condition) {
  for (int i = 0; i < 10'000; ++i) {
    if (condition()) return true;
    ::usleep(1000);
  }
  return false;
}

void World::ServeProxy() {
  for (;;) {
    auto message = ReceiveMessage(link_.get());
    if (!message) break;
    OnMessage(std::move(*message));
    if (drained_) return;  // a supervisor listens to it no more
  }
  const std::lock_guard lock(mutex_);
  gone_ = true;
  changed_.notify_all();
}

void World::OnMessage(Message message) {
  const boost::json::object object = boost::json::parse(message.text).as_object();
  const std::string op(object.at("op").as_string());
  const std::lock_guard lock(mutex_);
  if (op == "keep") {
    for (size_t i = 0; i < message.fds.size(); ++i)
      kept_[std::string(object.at("names").as_array()[i].as_string())] = std::move(message.fds[i]);
  } else if (op == "ready") {
    ready_ = true;
    changed_.notify_all();
  } else if (op == "drained") {
    drained_ = true;
    changed_.notify_all();
  } else if (op == "listener") {
    ++listeners_asked_;
    GiveListener(link_.get(), *PublishedPort::Parse(object.at("port").as_string()));
  } else if (op == "unlisten") {
    listeners_.erase(*PublishedPort::Parse(object.at("port").as_string()));
  } else if (op == "inside") {
    GiveInsideSockets(link_.get(), object.at("count").to_number<size_t>());
  }
}

// The listener belongs to the servers' group, as a supervisor's does: the guard sees its packets.
void World::GiveListener(int link, PublishedPort port) {
  Require(SendMessage(published_sockets_.link.get(), port.ToString()));
  auto made = ReceiveMessage(published_sockets_.link.get());
  Require(made.has_value(), "a published socket");
  const std::string reply =
      R"({"op":"listener","port":")" + port.ToString() + R"(","errno":)" + made->text + "}";
  // The proxy may have been killed since it asked.
  if (made->fds.empty()) return static_cast<void>(SendMessage(link, reply));
  SendMessage(link, reply, {made->fds[0].get()});
  listeners_[port] = std::move(made->fds[0]);
}

void World::GiveInsideSockets(int link, size_t count) {
  auto scope = NetnsScope::Enter(tenant_.get());
  Require(scope.has_value(), "enter the tenant");
  std::vector<UniqueFd> sockets;
  std::vector<int> numbers;
  const int on = 1;
  for (size_t i = 0; i < count; ++i) {
    sockets.emplace_back(::socket(config_.ip.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    numbers.push_back(sockets.back().get());
    const bool v6 = config_.ip.is_v6();
    ::setsockopt(numbers.back(), v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT,
                 &on, sizeof on);
  }
  SendMessage(link, R"({"op":"inside"})", numbers);
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

int ConnectTo(const UniqueFd& socket, const Endpoint& to) {
  sockaddr_storage address{};
  const socklen_t size = Fill(to, address);
  return ::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), size) == 0 ? 0 : errno;
}

int SendTo(const UniqueFd& socket, const Endpoint& to, std::string_view text) {
  sockaddr_storage address{};
  const socklen_t size = Fill(to, address);
  const ssize_t sent = ::sendto(socket.get(), text.data(), text.size(), MSG_NOSIGNAL,
                                reinterpret_cast<sockaddr*>(&address), size);
  return sent < 0 ? errno : 0;
}

int BindAt(const UniqueFd& socket, const Endpoint& place) {
  sockaddr_storage address{};
  const socklen_t size = Fill(place, address);
  return ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size) == 0 ? 0 : errno;
}

void Listen(const UniqueFd& socket, const Endpoint& place) {
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  ASSERT_EQ(BindAt(socket, place), 0) << place.ToString();
  ASSERT_EQ(::listen(socket.get(), 4096), 0) << place.ToString();
}

UniqueFd Accept(const UniqueFd& listener, Endpoint* from) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  UniqueFd accepted(
      ::accept4(listener.get(), reinterpret_cast<sockaddr*>(&address), &size, SOCK_CLOEXEC));
  EXPECT_GE(accepted.get(), 0) << "accept: errno " << errno;
  if (!accepted) return accepted;
  ::setsockopt(accepted.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  ::setsockopt(accepted.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  if (from != nullptr) *from = Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address));
  return accepted;
}

Endpoint LocalEnd(const UniqueFd& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  EXPECT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  return Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address));
}

Endpoint RemoteEnd(const UniqueFd& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  EXPECT_EQ(::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  return Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address));
}

void Send(const UniqueFd& socket, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
    ASSERT_GT(sent, 0) << "send: errno " << errno;
    text.remove_prefix(static_cast<size_t>(sent));
  }
}

std::string Receive(const UniqueFd& socket, size_t bytes) {
  std::string text(bytes, '\0');
  size_t have = 0;
  while (have < bytes) {
    const ssize_t got = ::recv(socket.get(), text.data() + have, bytes - have, 0);
    EXPECT_GE(got, 0) << "recv: errno " << errno;
    if (got <= 0) break;
    have += static_cast<size_t>(got);
  }
  text.resize(have);
  return text;
}

std::string ReceiveDatagram(const UniqueFd& socket, Endpoint* from) {
  char buffer[65536];
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  const ssize_t got = ::recvfrom(socket.get(), buffer, sizeof buffer, 0,
                                 reinterpret_cast<sockaddr*>(&address), &size);
  EXPECT_GE(got, 0) << "recvfrom: errno " << errno;
  *from = Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address));
  return {buffer, static_cast<size_t>(std::max<ssize_t>(got, 0))};
}

int ReceiveErrno(const UniqueFd& socket) {
  char byte = 0;
  const ssize_t got = ::recv(socket.get(), &byte, 1, 0);
  if (got > 0) return -1;
  return got == 0 ? 0 : errno;
}

}  // namespace bailey::netproxy
