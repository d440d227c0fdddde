#include "supervisor/kept_capabilities.h"

#include <algorithm>
#include <array>

namespace bailey::supervisor {
namespace {

constexpr auto kKept = std::to_array<KeptCapability>({
    {CAP_CHOWN, "package managers hand files to service users"},
    {CAP_DAC_OVERRIDE, "root reads and writes the files of its own users"},
    {CAP_FOWNER, "chmod, utimes and ACLs on the files of its own users"},
    {CAP_FSETID, "setuid and setgid bits survive chown and write by root"},
    {CAP_KILL, "signals to the processes of its own users"},
    {CAP_SETGID, "su, cron, every service that drops privileges"},
    {CAP_SETUID, "likewise"},
    {CAP_SETPCAP, "services that drop capabilities of their own"},
    {CAP_NET_BIND_SERVICE, "listen on 80 and 443"},
    {CAP_NET_RAW,
     "without it ping's file capability fails to execute; powerless, as the network "
     "namespace is the host's"},
    {CAP_IPC_OWNER, "System V IPC of its own users"},
    {CAP_SYS_CHROOT, "sshd, bind, postfix; leads nowhere but into the tenant's root"},
    {CAP_SYS_PTRACE, "debuggers on its own processes"},
    {CAP_SYS_BOOT, "reboot(2), which in a pid namespace ends its init"},
    {CAP_SYS_NICE, "priorities of its own users' processes, as far as RLIMIT_NICE goes"},
    {CAP_LEASE, "file servers"},
    {CAP_AUDIT_WRITE, "login programs that ask for it; audit's socket is denied"},
    {CAP_SETFCAP, "package managers install file capabilities"},
});
static_assert(std::ranges::is_sorted(kKept, {}, &KeptCapability::number));

// mount(2) asks for it in the user namespace that owns the mount namespace.
constexpr CapabilityMask kForMount = CapabilityBit(CAP_SYS_ADMIN);

}  // namespace

std::span<const KeptCapability> KeptCapabilities() { return kKept; }

CapabilityMask KeptCapabilityMask(const Allow& allow) {
  CapabilityMask mask = allow.mount ? kForMount : 0;
  for (const KeptCapability& kept : kKept) mask |= CapabilityBit(kept.number);
  return mask;
}

}  // namespace bailey::supervisor
