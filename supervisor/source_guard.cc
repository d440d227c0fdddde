#include "supervisor/source_guard.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/json.hpp>
#include <cstring>
#include <string>
#include <utility>

#include "base/log.h"
#include "supervisor/source_guard.skel.h"
#include "supervisor/source_guard_map.h"

namespace bailey::supervisor {
namespace {

constexpr size_t kPage = 4096;
constexpr std::chrono::milliseconds kWhileStopping{1000};
static_assert(sizeof(bailey_guard_count) <= kPage);

IpAddress AddressOf(const bailey_guard_place& place) {
  if (place.v6 == 0) return IpAddress::V4(ntohl(place.address[0]));
  std::array<uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), place.address, bytes.size());
  return IpAddress::V6(bytes);
}

bailey_guard_place PlaceOf(const Endpoint& endpoint) {
  bailey_guard_place place{};
  place.v6 = endpoint.address.is_v6() ? 1 : 0;
  std::memcpy(place.address, endpoint.address.bytes().data(),
              static_cast<size_t>(endpoint.address.bits() / 8));
  place.port = endpoint.port;
  return place;
}

std::string Describe(uint32_t how, const Endpoint& from, const Endpoint& to) {
  switch (how) {
    case BAILEY_GUARD_BIND:
      return "binding to " + from.ToString();
    case BAILEY_GUARD_CONNECT:
      return "connecting to " + to.ToString() + " from " + from.address.ToString();
    default:
      return "sending as " + from.ToString() + " to " + to.ToString();
  }
}

int LogNotice(void*, void* data, size_t size) {
  bailey_guard_notice notice{};
  if (size < sizeof notice) return 0;
  std::memcpy(&notice, data, sizeof notice);
  const Endpoint from{AddressOf(notice.from), notice.from.port};
  const Endpoint to{AddressOf(notice.to), notice.to.port};
  LogError("bailey-netproxy was kept from " + Describe(notice.how, from, to));
  return 0;
}

Result<uint64_t> OwnNetnsCookie() {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (!socket || ::getsockopt(socket.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0)
    return Errno("SO_NETNS_COOKIE");
  return cookie;
}

Result<UniqueFd> Copy(int fd, const char* what) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) return Errno(what);
  return copy;
}

// Whether `program` is among those that the kernel runs for `cgroup`.
Status CheckAttached(int cgroup, int type, int program) {
  bpf_prog_info info{};
  uint32_t size = sizeof info;
  if (bpf_obj_get_info_by_fd(program, &info, &size) != 0) return Errno("look at a BPF program");
  std::array<uint32_t, 64> ids{};
  uint32_t count = ids.size(), flags = 0;
  if (bpf_prog_query(cgroup, static_cast<bpf_attach_type>(type), 0, &flags, ids.data(), &count) !=
      0)
    return Errno("ask which BPF programs a group has");
  if (std::find(ids.begin(), ids.begin() + count, info.id) == ids.begin() + count)
    return Errno("the source guard is not attached", ENOENT);
  return {};
}

}  // namespace

Result<std::unique_ptr<SourceGuard>> SourceGuard::Attach(EventLoop& loop, int servers_cgroup,
                                                         const IpAddress& ip,
                                                         std::function<void(uint64_t)> stopped) {
  std::unique_ptr<SourceGuard> guard(new SourceGuard(loop));
  guard->stopped_ = std::move(stopped);
  BAILEY_TRY(guard->Load(servers_cgroup, ip));
  for (const Attached& each : guard->attached_)
    BAILEY_TRY(CheckAttached(servers_cgroup, each.type, each.program.get()));
  BAILEY_TRY(loop.Watch(ring_buffer__epoll_fd(guard->notices_.get()), EPOLLIN,
                        [self = guard.get()](uint32_t) { self->OnNotice(); }));
  ::malloc_trim(0);  // what loading took
  return guard;
}

SourceGuard::~SourceGuard() {
  loop_.Cancel(report_);
  if (notices_) loop_.Unwatch(ring_buffer__epoll_fd(notices_.get()));
  if (count_ != nullptr) ::munmap(count_, kPage);
}

Status SourceGuard::Load(int servers_cgroup, const IpAddress& ip) {
  const auto netns = OwnNetnsCookie();
  if (!netns) return netns.error();
  const std::unique_ptr<source_guard, decltype(&source_guard::destroy)> object(
      source_guard::open(), &source_guard::destroy);
  if (object == nullptr) return Errno("open the source guard");
  object->rodata->host_netns = *netns;
  if (ip.is_v6())
    std::memcpy(object->rodata->own6, ip.bytes().data(), sizeof object->rodata->own6);
  else
    object->rodata->own4 = htonl(ip.v4());
  if (const int error = source_guard::load(object.get()); error != 0)
    return Errno("load the source guard", -error);
  auto resolvers = Copy(bpf_map__fd(object->maps.resolvers), "keep the guard's resolvers");
  if (!resolvers) return resolvers.error();
  resolvers_map_ = std::move(*resolvers);
  const int count = bpf_map__fd(object->maps.guard_count);
  void* page = ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, count, 0);
  if (page == MAP_FAILED) return Errno("map the guard's count");
  count_ = static_cast<bailey_guard_count*>(page);
  notices_ = {
      ring_buffer__new(bpf_map__fd(object->maps.guard_notices), LogNotice, nullptr, nullptr),
      ring_buffer__free};
  if (!notices_) return Errno("map the guard's notices");
  for (const bpf_program* program :
       {object->progs.guard_egress, object->progs.guard_ingress, object->progs.guard_bind4,
        object->progs.guard_bind6, object->progs.guard_connect4, object->progs.guard_connect6})
    BAILEY_TRY(AttachOne(program, servers_cgroup));
  return {};
}

Status SourceGuard::AttachOne(const bpf_program* program, int servers_cgroup) {
  bpf_link* const link = bpf_program__attach_cgroup(program, servers_cgroup);
  const std::string name = bpf_program__name(program);
  if (link == nullptr) return Errno("attach " + name);
  auto kept = Copy(bpf_link__fd(link), "keep a link");
  bpf_link__destroy(link);
  if (!kept) return kept.error();
  auto loaded = Copy(bpf_program__fd(program), "keep a program");
  if (!loaded) return loaded.error();
  attached_.push_back({std::move(*loaded), std::move(*kept),
                       static_cast<int>(bpf_program__expected_attach_type(program))});
  return {};
}

Status SourceGuard::SetResolvers(const std::vector<Endpoint>& resolvers) {
  const uint8_t yes = 1;
  for (const Endpoint& each : resolvers) {
    const bailey_guard_place place = PlaceOf(each);
    if (bpf_map_update_elem(resolvers_map_.get(), &place, &yes, BPF_ANY) != 0)
      return Errno("let questions go to " + each.ToString());
  }
  const auto has = [](const std::vector<Endpoint>& list, const Endpoint& each) {
    return std::find(list.begin(), list.end(), each) != list.end();
  };
  for (const Endpoint& each : earlier_) {
    if (has(resolvers, each) || has(resolvers_, each)) continue;
    const bailey_guard_place place = PlaceOf(each);
    bpf_map_delete_elem(resolvers_map_.get(), &place);
  }
  if (resolvers != resolvers_) earlier_ = std::exchange(resolvers_, resolvers);
  return {};
}

uint64_t SourceGuard::stopped() const {
  return std::atomic_ref(count_->stopped).load(std::memory_order_seq_cst);
}

void SourceGuard::OnNotice() {
  ring_buffer__consume(notices_.get());
  if (report_ == 0) Report();
}

// While something is stopped, once a second; then not at all until the next notice.
void SourceGuard::Report() {
  report_ = 0;
  std::atomic_ref(count_->told).store(0, std::memory_order_seq_cst);
  const uint64_t now = stopped();
  const uint64_t fresh = now - std::exchange(reported_, now);
  if (fresh == 0) return;
  stopped_(fresh);
  report_ = loop_.After(kWhileStopping, [this] { Report(); });
}

std::vector<Endpoint> ResolversIn(std::string_view network) {
  namespace json = boost::json;
  json::error_code failed;
  const json::value parsed = json::parse(json::string_view(network.data(), network.size()), failed);
  std::vector<Endpoint> resolvers;
  if (failed || !parsed.is_object()) return resolvers;
  const json::value* list = parsed.get_object().if_contains("resolvers");
  if (list == nullptr || !list->is_array()) return resolvers;
  for (const json::value& item : list->get_array()) {
    if (!item.is_string() || resolvers.size() == BAILEY_GUARD_RESOLVERS / 4) continue;
    const std::string_view text(item.get_string().data(), item.get_string().size());
    const size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) continue;
    std::string_view address = text.substr(0, colon);
    if (address.starts_with('[') && address.ends_with(']'))
      address = address.substr(1, address.size() - 2);
    const auto ip = IpAddress::Parse(address);
    const int port = std::atoi(std::string(text.substr(colon + 1)).c_str());
    if (ip && port > 0 && port < 65536) resolvers.push_back({*ip, static_cast<uint16_t>(port)});
  }
  return resolvers;
}

}  // namespace bailey::supervisor
