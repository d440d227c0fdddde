// bailey-netproxy: the socket proxy of one tenant. docs/DESIGN.md, "bailey-supervisor →
// bailey-netproxy", has its arguments and messages.
//
//   1. read what it was given      2. attach the BPF programs and make the sockets inside, or adopt
//   what an earlier proxy of the tenant left    3. send what must outlive it    4. give up every
//   privilege, and check    5. serve
#include <fcntl.h>
#include <linux/netlink.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/files.h"
#include "base/log.h"
#include "base/published_page.h"
#include "netproxy/bpf_programs.h"
#include "netproxy/config.h"
#include "netproxy/confinement.h"
#include "netproxy/inside_sockets.h"
#include "netproxy/proxy.h"

namespace bailey::netproxy {
namespace {

struct Arguments {
  std::map<std::string, int, std::less<>> numbers;  // "--control-fd" → N
  KeptFds adopted;
};

Result<int> ParseNumber(std::string_view text) {
  int number = -1;
  const char* const end = text.data() + text.size();
  if (std::from_chars(text.data(), end, number).ptr != end || number < 0)
    return Invalid("not a number: \"" + std::string(text) + "\"");
  return number;
}

// Takes a descriptor that exec passed on, and keeps it to ourselves.
Result<UniqueFd> TakeFd(int number) {
  UniqueFd fd(number);
  if (::fcntl(number, F_SETFD, FD_CLOEXEC) != 0)
    return Errno("descriptor " + std::to_string(number));
  return fd;
}

Status Adopt(KeptFds& adopted, std::string_view pair) {
  const size_t equals = pair.rfind('=');
  if (equals == std::string_view::npos) return Invalid("--adopt-fd wants NAME=N");
  auto number = ParseNumber(pair.substr(equals + 1));
  if (!number) return number.error();
  auto fd = TakeFd(*number);
  if (!fd) return fd.error();
  return adopted.Add(std::string(pair.substr(0, equals)), std::move(*fd));
}

Result<Arguments> ParseArguments(int count, char** values) {
  Arguments arguments;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string_view name = values[i];
    if (name == "--adopt-fd") {
      BAILEY_TRY(Adopt(arguments.adopted, values[i + 1]));
      continue;
    }
    auto number = ParseNumber(values[i + 1]);
    if (!number) return number.error().Within(name);
    arguments.numbers.emplace(name, *number);
  }
  for (const char* name :
       {"--control-fd", "--config-fd", "--counters-fd", "--netns-fd", "--cgroup-fd", "--uid"})
    if (!arguments.numbers.contains(name))
      return Invalid(std::string(name) + " is missing", "bailey-supervisor starts this program");
  return arguments;
}

Result<ProxyConfig> ReadConfig(int number) {
  auto fd = TakeFd(number);
  if (!fd) return fd.error();
  if (::lseek(fd->get(), 0, SEEK_SET) < 0) return Errno("configuration");
  const auto text = ReadAll(fd->get());
  if (!text) return text.error();
  return ParseProxyConfig(*text);
}

Status MakeOrAdopt(const IpAddress& ip, int netns, int cgroup, KeptFds& kept) {
  if (kept.empty()) {
    BAILEY_TRY(AttachPrograms(ip, netns, cgroup, kept));
    return MakeInsideSockets(ip, netns, kept);
  }
  BAILEY_TRY(kept.Require(ProgramFdNames()));
  return kept.Require(InsideFdNames(ip));
}

Result<AdoptedPorts> TakePorts(KeptFds& kept) {
  AdoptedPorts ports;
  ports.sockets = kept.TakeListeners();
  ports.shared = kept.Take(kSharedListener);
  const UniqueFd page = kept.Take(kSharedPorts);
  if (!ports.shared) return ports;
  const auto published = PublishedPage::Map(page.get());
  if (!published) return published.error();
  ports.all = published->Read();
  return ports;
}

// For the loop, listeners, the stock of sockets, pipes and DNS; a relay has two.
constexpr size_t kOtherDescriptors = 1024, kDescriptorsOfRelay = 2;

// Takes as many descriptors as the host lets us have. Returns how many relays that makes.
Result<size_t> RaiseFileLimit() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return Errno("RLIMIT_NOFILE");
  files.rlim_cur = files.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &files) != 0) return Errno("RLIMIT_NOFILE");
  return (std::max<size_t>(files.rlim_cur, 2 * kOtherDescriptors) - kOtherDescriptors) /
         kDescriptorsOfRelay;
}

Result<ProxyParts> Prepare(Arguments arguments, const ProxyConfig& config) {
  const auto number = [&](const char* name) { return arguments.numbers.find(name)->second; };
  auto control = TakeFd(number("--control-fd"));
  if (!control) return control.error();
  auto counters_fd = TakeFd(number("--counters-fd"));
  if (!counters_fd) return counters_fd.error();
  auto counters = CounterMapping<NetCounter>::Map(counters_fd->get(), true);
  if (!counters) return counters.error();
  auto netns = TakeFd(number("--netns-fd"));
  if (!netns) return netns.error();
  auto cgroup = TakeFd(number("--cgroup-fd"));
  if (!cgroup) return cgroup.error();

  const bool first = arguments.adopted.empty();
  BAILEY_TRY(MakeOrAdopt(config.ip, netns->get(), cgroup->get(), arguments.adopted));
  SupervisorLink link(std::move(*control));
  if (first) BAILEY_TRY(link.Keep(arguments.adopted));
  auto adopted_ports = TakePorts(arguments.adopted);
  if (!adopted_ports) return adopted_ports.error();
  auto denials = MapDenials(arguments.adopted);
  if (!denials) return denials.error();
  auto denial_notices = BpfRing::Open(arguments.adopted.Get(kDenialNoticesMap));
  if (!denial_notices) return denial_notices.error();
  auto listen_events = BpfRing::Open(arguments.adopted.Get(kListenEventsMap));
  if (!listen_events) return listen_events.error();
  auto held_syns = BpfRing::Open(arguments.adopted.Get(kHeldSynsMap));
  if (!held_syns) return held_syns.error();
  auto held_echoes = BpfRing::Open(arguments.adopted.Get(kHeldEchoesMap));
  if (!held_echoes) return held_echoes.error();
  auto echo_socket = MakeEchoSocket(config.ip);
  if (!echo_socket) return echo_socket.error();
  auto host_addresses = HostAddresses::Open();
  if (!host_addresses) return host_addresses.error();
  UniqueFd host_diag(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!host_diag) return Errno("sock_diag");
  const auto most_relays = RaiseFileLimit();
  if (!most_relays) return most_relays.error();
  auto loop = EventLoop::Create();
  if (!loop) return loop.error();
  return ProxyParts{
      .loop = std::move(*loop),
      .counters = std::move(*counters),
      .kept = std::move(arguments.adopted),
      .adopted_ports = std::move(*adopted_ports),
      .denials = *denials,
      .denial_notices = std::move(*denial_notices),
      .listen_events = std::move(*listen_events),
      .held_syns = std::move(*held_syns),
      .held_echoes = std::move(*held_echoes),
      .link = std::move(link),
      .host_addresses = std::move(*host_addresses),
      .echo_socket = std::move(*echo_socket),
      .host_diag = std::move(host_diag),
      .most_relays = *most_relays,
      .suspended = arguments.numbers.contains("--suspended"),
  };
}

Status RunProxy(int count, char** values) {
  auto arguments = ParseArguments(count, values);
  if (!arguments) return arguments.error();
  auto config = ReadConfig(arguments->numbers.find("--config-fd")->second);
  if (!config) return config.error();
  SetLogName("netproxy[" + config->tenant + "]");
  ::signal(SIGPIPE, SIG_IGN);
  const auto uid = static_cast<uint32_t>(arguments->numbers.find("--uid")->second);
  auto parts = Prepare(std::move(*arguments), *config);
  if (!parts) return parts.error();
  BAILEY_TRY(Confine(uid));
  Proxy proxy(std::move(*config), std::move(*parts));
  BAILEY_TRY(proxy.Start());
  ::malloc_trim(0);  // what loading the programs took
  proxy.Run();
  return {};
}

}  // namespace
}  // namespace bailey::netproxy

int main(int argc, char** argv) {
  const bailey::Status status = bailey::netproxy::RunProxy(argc, argv);
  if (!status) bailey::LogError(status.error().Message());
  // Nothing is left to do at exit, nor are there files for a leak checker to read any more.
  ::_exit(status ? EXIT_SUCCESS : EXIT_FAILURE);
}
