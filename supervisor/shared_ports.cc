#include "supervisor/shared_ports.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <atomic>
#include <cstring>
#include <utility>

#include "base/files.h"
#include "supervisor/proxy_sockets.h"
#include "supervisor/shared_ports.skel.h"
#include "supervisor/shared_ports_map.h"

namespace bailey::supervisor {
namespace {

uint64_t Bit(uint16_t port) { return uint64_t{1} << port % 64; }

}  // namespace

Result<std::unique_ptr<SharedPorts>> SharedPorts::Attach(const IpAddress& ip, UniqueFd listener) {
  std::unique_ptr<SharedPorts> shared(new SharedPorts(ip, std::move(listener)));
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(shared->listener(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return Errno("getsockname of the shared listener");
  shared->listener_port_ = Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address)).port;
  BAILEY_TRY(shared->Load());
  ::malloc_trim(0);  // what loading took
  return shared;
}

Status SharedPorts::Load() {
  const std::unique_ptr<shared_ports, decltype(&shared_ports::destroy)> object(
      shared_ports::open(), &shared_ports::destroy);
  if (object == nullptr) return Errno("open the program of shared ports");
  if (ip_.is_v6())
    std::memcpy(object->rodata->own6, ip_.bytes().data(), sizeof object->rodata->own6);
  else
    object->rodata->own4 = htonl(ip_.v4());
  object->rodata->listener_port = listener_port_;
  if (const int error = shared_ports::load(object.get()); error != 0)
    return Errno("load the program of shared ports", -error);
  const uint32_t first = 0;
  const auto socket = static_cast<uint64_t>(listener());
  if (bpf_map_update_elem(bpf_map__fd(object->maps.shared_listener), &first, &socket, BPF_ANY) != 0)
    return Errno("hand out the shared listener");
  void* list = ::mmap(nullptr, sizeof(bailey_port_list), PROT_READ | PROT_WRITE, MAP_SHARED,
                      bpf_map__fd(object->maps.listed), 0);
  if (list == MAP_FAILED) return Errno("map the list of shared ports");
  list_ = static_cast<bailey_port_list*>(list);
  const auto netns = OpenPath("/proc/self/ns/net", O_RDONLY);
  if (!netns) return netns.error();
  bpf_link* const link = bpf_program__attach_netns(object->progs.share, netns->get());
  if (link == nullptr) return Errno("attach the program of shared ports");
  link_.Reset(::fcntl(bpf_link__fd(link), F_DUPFD_CLOEXEC, 3));
  const int error = errno;
  bpf_link__destroy(link);
  if (!link_) return Errno("keep a link", error);
  return {};
}

SharedPorts::~SharedPorts() {
  if (list_ != nullptr) ::munmap(list_, sizeof *list_);
}

Status SharedPorts::Add(uint16_t port) {
  if (port != listener_port_) BAILEY_TRY(CheckNobodyListens(ip_, port));
  std::atomic_ref(list_->words[port / 64]).fetch_or(Bit(port));
  return {};
}

void SharedPorts::Remove(uint16_t port) {
  std::atomic_ref(list_->words[port / 64]).fetch_and(~Bit(port));
}

bool SharedPorts::Contains(uint16_t port) const {
  return (std::atomic_ref(list_->words[port / 64]).load() & Bit(port)) != 0;
}

}  // namespace bailey::supervisor
