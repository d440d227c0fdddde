#include "netproxy/bpf_programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <span>

#include "base/log.h"
#include "base/namespaces.h"
#include "netproxy/capture.skel.h"
#include "netproxy/egress.skel.h"
#include "netproxy/hold.skel.h"
#include "netproxy/listening.skel.h"

namespace bailey::netproxy {
namespace {

constexpr size_t kPage = 4096;
constexpr int kLoopback = 1;  // lo is the first interface of every network namespace
static_assert(sizeof(bailey_denials) <= kPage);

constexpr const char* kMapNames[] = {kProxySocketsMap,  kEgress4Map,      kEgress6Map,  kDenialsMap,
                                     kDenialNoticesMap, kListenEventsMap, kHeldSynsMap, kGuestsMap,
                                     kBoundUdpMap,      kHeldEchoesMap};
constexpr const char* kLinkNames[] = {"link.capture",    "link.connect4",    "link.connect6",
                                      "link.sendmsg4",   "link.sendmsg6",    "link.bind4",
                                      "link.bind6",      "link.listening",   "link.post_bind4",
                                      "link.post_bind6", "link.sock_release"};

int LogFromLibbpf(libbpf_print_level level, const char* format, va_list arguments) {
  if (level != LIBBPF_WARN) return 0;
  char text[512];
  int length = std::vsnprintf(text, sizeof text, format, arguments);
  length = std::clamp(length, 0, static_cast<int>(sizeof text) - 1);
  std::string_view line(text, static_cast<size_t>(length));
  while (line.ends_with('\n')) line.remove_suffix(1);
  LogWarning(line);
  return 0;
}

// The constants that a program judges by; both objects that have them call them the same.
template <class Constants>
void SetOwnAddresses(const IpAddress& ip, Constants& constants) {
  const bool inside_loopback = !ip.is_v6() && ip.v4() >> 24 == 127;
  constants.loopback_mask = htonl(inside_loopback ? 0xffff0000 : 0xff000000);
  if (ip.is_v6())
    std::memcpy(constants.own6, ip.bytes().data(), sizeof constants.own6);
  else
    constants.own4 = htonl(ip.v4());
}

Status KeepMap(KeptFds& kept, const char* name, const bpf_map* map) {
  UniqueFd fd(::fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 3));
  if (!fd) return Errno(std::string("keep ") + name);
  return kept.Add(name, std::move(fd));
}

// Keeps the link's descriptor and gives up libbpf's own; the program stays attached.
Status KeepLink(KeptFds& kept, const bpf_program* program, bpf_link* link) {
  const std::string name = std::string("link.") + bpf_program__name(program);
  if (link == nullptr) return Errno("attach " + name);
  UniqueFd fd(::fcntl(bpf_link__fd(link), F_DUPFD_CLOEXEC, 3));
  const int error = errno;
  bpf_link__destroy(link);
  if (!fd) return Errno("keep " + name, error);
  return kept.Add(name, std::move(fd));
}

Status AttachCapture(const IpAddress& ip, int netns, KeptFds& kept) {
  const std::unique_ptr<capture, decltype(&capture::destroy)> object(capture::open(),
                                                                     &capture::destroy);
  if (object == nullptr) return Errno("open the capture program");
  SetOwnAddresses(ip, *object->rodata);
  if (const int error = capture::load(object.get()); error != 0)
    return Errno("load the capture program", -error);
  BAILEY_TRY(KeepMap(kept, kProxySocketsMap, object->maps.proxy_sockets));
  return KeepLink(kept, object->progs.capture,
                  bpf_program__attach_netns(object->progs.capture, netns));
}

Status AttachEgress(const IpAddress& ip, int cgroup, KeptFds& kept) {
  const std::unique_ptr<egress, decltype(&egress::destroy)> object(egress::open(),
                                                                   &egress::destroy);
  if (object == nullptr) return Errno("open the egress programs");
  SetOwnAddresses(ip, *object->rodata);
  if (const int error = egress::load(object.get()); error != 0)
    return Errno("load the egress programs", -error);
  BAILEY_TRY(KeepMap(kept, kEgress4Map, object->maps.egress4));
  BAILEY_TRY(KeepMap(kept, kEgress6Map, object->maps.egress6));
  BAILEY_TRY(KeepMap(kept, kDenialsMap, object->maps.denials));
  BAILEY_TRY(KeepMap(kept, kDenialNoticesMap, object->maps.denial_notices));
  BAILEY_TRY(KeepMap(kept, kGuestsMap, object->maps.guests));
  for (const bpf_program* program :
       {object->progs.connect4, object->progs.connect6, object->progs.sendmsg4,
        object->progs.sendmsg6, object->progs.bind4, object->progs.bind6})
    BAILEY_TRY(KeepLink(kept, program, bpf_program__attach_cgroup(program, cgroup)));
  return {};
}

Status AttachListening(int cgroup, KeptFds& kept) {
  const std::unique_ptr<listening, decltype(&listening::destroy)> object(listening::open(),
                                                                         &listening::destroy);
  if (object == nullptr) return Errno("open the listening program");
  if (bpf_map__reuse_fd(object->maps.denials, kept.Get(kDenialsMap)) != 0)
    return Errno("share the denials map");
  if (const int error = listening::load(object.get()); error != 0)
    return Errno("load the listening program", -error);
  BAILEY_TRY(KeepMap(kept, kListenEventsMap, object->maps.listen_events));
  BAILEY_TRY(KeepMap(kept, kBoundUdpMap, object->maps.bound_udp));
  for (const bpf_program* program : {object->progs.listening, object->progs.post_bind4,
                                     object->progs.post_bind6, object->progs.sock_release})
    BAILEY_TRY(KeepLink(kept, program, bpf_program__attach_cgroup(program, cgroup)));
  return {};
}

}  // namespace

std::vector<std::string> ProgramFdNames() {
  std::vector<std::string> names(std::begin(kMapNames), std::end(kMapNames));
  names.insert(names.end(), std::begin(kLinkNames), std::end(kLinkNames));
  return names;
}

// A tc filter belongs to its device: it stays as long as the network namespace.
Status AttachHold(const IpAddress& ip, int netns, KeptFds& kept) {
  const std::unique_ptr<hold, decltype(&hold::destroy)> object(hold::open(), &hold::destroy);
  if (object == nullptr) return Errno("open the hold program");
  SetOwnAddresses(ip, *object->rodata);
  if (const int error = hold::load(object.get()); error != 0)
    return Errno("load the hold program", -error);
  BAILEY_TRY(KeepMap(kept, kHeldSynsMap, object->maps.held_syns));
  BAILEY_TRY(KeepMap(kept, kHeldEchoesMap, object->maps.held_echoes));
  auto scope = NetnsScope::Enter(netns);
  if (!scope) return scope.error();
  bpf_tc_hook hook{};
  hook.sz = sizeof hook;
  hook.ifindex = kLoopback;
  hook.attach_point = BPF_TC_EGRESS;
  if (const int error = bpf_tc_hook_create(&hook); error != 0) return Errno("clsact on lo", -error);
  bpf_tc_opts options{};
  options.sz = sizeof options;
  options.prog_fd = bpf_program__fd(object->progs.hold);
  options.handle = options.priority = 1;
  if (const int error = bpf_tc_attach(&hook, &options); error != 0)
    return Errno("attach the hold program", -error);
  return {};
}

Status AttachPrograms(const IpAddress& tenant_ip, int netns, int cgroup, KeptFds& kept) {
  libbpf_set_print(LogFromLibbpf);
  BAILEY_TRY(AttachCapture(tenant_ip, netns, kept));
  BAILEY_TRY(AttachHold(tenant_ip, netns, kept));
  BAILEY_TRY(AttachEgress(tenant_ip, cgroup, kept));
  BAILEY_TRY(AttachListening(cgroup, kept));
  return kept.Require(ProgramFdNames());
}

Status SetProxySocket(const KeptFds& kept, bailey_socket slot, int socket) {
  const uint32_t key = slot;
  const auto value = static_cast<uint64_t>(socket);
  if (bpf_map_update_elem(kept.Get(kProxySocketsMap), &key, &value, BPF_ANY) != 0)
    return Errno("hand a socket to the capture program");
  return {};
}

bool WasBound(const KeptFds& kept, uint64_t cookie) {
  uint16_t port = 0;
  return bpf_map_lookup_elem(kept.Get(kBoundUdpMap), &cookie, &port) == 0;
}

void SetGuest(const KeptFds& kept, const bailey_guest& guest, bool present) {
  const int map = kept.Get(kGuestsMap);
  const uint8_t yes = 1;
  if (present)
    bpf_map_update_elem(map, &guest, &yes, BPF_ANY);
  else
    bpf_map_delete_elem(map, &guest);
}

void ForgetGuests(const KeptFds& kept) {
  const int map = kept.Get(kGuestsMap);
  bailey_guest guest{};
  while (bpf_map_get_next_key(map, nullptr, &guest) == 0)
    if (bpf_map_delete_elem(map, &guest) != 0) return;
}

Result<bailey_denials*> MapDenials(const KeptFds& kept) {
  void* page = ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, kept.Get(kDenialsMap), 0);
  if (page == MAP_FAILED) return Errno("map the denials");
  return static_cast<bailey_denials*>(page);
}

}  // namespace bailey::netproxy
