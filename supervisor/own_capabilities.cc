#include "supervisor/own_capabilities.h"

#include <algorithm>
#include <array>

#include "base/capabilities.h"

namespace bailey::supervisor {
namespace {

constexpr auto kKept = std::to_array<OwnCapability>({
    {CAP_CHOWN, "pipes, terminals and device nodes of the tenant's ids; bailey-fs"},
    {CAP_DAC_OVERRIDE, "layers whose directories are closed to root's own group; bailey-fs"},
    {CAP_FOWNER, "bailey-fs: chmod for any owner"},
    {CAP_FSETID, "bailey-fs: setuid and setgid bits at chmod and creation"},
    {CAP_KILL, "signals to processes of the tenant's ids"},
    {CAP_SETGID, "the launcher, exec and the proxy become the tenant's ids"},
    {CAP_SETUID, "likewise"},
    {CAP_SETPCAP, "each child drops its bounding set"},
    {CAP_NET_BIND_SERVICE, "published ports below 1024"},
    {CAP_NET_ADMIN, "addresses, routes, BPF on networks, transparent sockets"},
    {CAP_NET_RAW, "raw sockets of the proxy, and of tenants that may have them"},
    {CAP_SYS_CHROOT, "joining the tenant's mount namespace"},
    {CAP_SYS_PTRACE, "namespaces of processes that are not dumpable"},
    {CAP_SYS_ADMIN, "mounts, namespaces, idmapped mounts, backing ids of bailey-fs"},
    {CAP_SYS_NICE, "the processors of a tenant's tasks when its limit changes"},
    {CAP_SYS_RESOURCE, "limits of processes, above the hard ones too"},
    {CAP_MKNOD, "the nodes of a tenant's /dev; bailey-fs"},
    {CAP_SETFCAP, "an id map that has 0 in it; file capabilities in bailey-fs"},
    {CAP_PERFMON, "the proxy's BPF programs, while it loads them"},
    {CAP_BPF, "likewise"},
});
static_assert(std::ranges::is_sorted(kKept, {}, &OwnCapability::number));

}  // namespace

std::span<const OwnCapability> OwnCapabilities() { return kKept; }

Status DropOtherCapabilities() {
  CapabilityMask keep = 0;
  for (const OwnCapability& each : kKept) keep |= CapabilityBit(each.number);
  return DropCapabilities(keep);
}

}  // namespace bailey::supervisor
