// The kinds of BPF programs that the proxy needs in a tenant's group: each is tried with the
// smallest program there is, which is loaded and thrown away, never attached. Those of networks are
// in network_checks.cc.
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/result.h"
#include "tenants/doctor/host_checks.h"
#include "tenants/doctor/in_child.h"

namespace bailey::tenants {
namespace {

struct ProgramKind {
  const char* name;
  bpf_prog_type type;
  bpf_attach_type attach;
  const char* purpose;
};
constexpr auto kKinds = std::to_array<ProgramKind>({
    {"BPF sock_ops", BPF_PROG_TYPE_SOCK_OPS, BPF_CGROUP_SOCK_OPS, "what a tenant listens on"},
    {"BPF connect", BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT,
     "denied destinations"},
});

// Returns 0, or the errno.
int TryLoad(const ProgramKind& kind) {
  // r0 = 1; exit
  const std::array<bpf_insn, 2> program = {bpf_insn{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1},
                                           bpf_insn{BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
  bpf_attr attributes{};
  attributes.prog_type = kind.type;
  attributes.expected_attach_type = kind.attach;
  attributes.insns = reinterpret_cast<uint64_t>(program.data());
  attributes.insn_cnt = program.size();
  attributes.license = reinterpret_cast<uint64_t>("GPL");
  const UniqueFd loaded(
      static_cast<int>(::syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes)));
  return loaded ? 0 : errno;
}

}  // namespace

std::vector<HostCheck> CheckBpf() {
  std::vector<HostCheck> checks;
  if (::geteuid() != 0) return {{"BPF", CheckResult::kWarning, "not tried", "sudo bailey doctor"}};
  for (const ProgramKind& kind : kKinds) {
    const int error = TryLoad(kind);
    if (error == 0) {
      checks.push_back({kind.name, CheckResult::kOk, kind.purpose, {}});
      continue;
    }
    checks.push_back({kind.name, CheckResult::kMissing,
                      "cannot be loaded: " + Errno("", error).Message(),
                      "needs CONFIG_BPF_SYSCALL and CONFIG_CGROUP_BPF, and no lockdown of BPF"});
  }
  return checks;
}

}  // namespace bailey::tenants
