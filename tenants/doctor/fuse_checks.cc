// FUSE as the kernel offers it: a file system is mounted in a child's own mount namespace, and the
// kernel's INIT request tells what it can do (linux/fuse.h, FUSE_INIT).
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <optional>

#include "base/files.h"
#include "tenants/doctor/host_checks.h"
#include "tenants/doctor/in_child.h"

namespace bailey::tenants {
namespace {

// Bits of fuse_init_in's flags and flags2 taken as one number.
constexpr int kPassthrough = 37, kResend = 39, kAllowIdmap = 40;

// The request as the kernel sends it: a header of 40 bytes, then fuse_init_in.
struct InitRequest {
  std::array<char, 40> header;
  uint32_t major, minor, max_readahead, flags, flags2;
};

void AskForInit(int out) {
  if (::unshare(CLONE_NEWNS) != 0) return;
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return;
  const UniqueFd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  std::array<char, 80> options{};
  std::snprintf(options.data(), options.size(), "fd=%d,rootmode=40000,user_id=0,group_id=0",
                device.get());
  if (!device ||
      ::mount("bailey-doctor", "/mnt", "fuse", MS_NOSUID | MS_NODEV, options.data()) != 0)
    return;
  pollfd readable{device.get(), POLLIN, 0};
  std::array<char, 65536> buffer{};  // the kernel refuses less than 8 KiB
  if (::poll(&readable, 1, 2000) == 1) {
    const ssize_t got = ::read(device.get(), buffer.data(), buffer.size());
    if (got >= static_cast<ssize_t>(sizeof(InitRequest))) [[maybe_unused]]
      const ssize_t n = ::write(out, buffer.data(), sizeof(InitRequest));
  }
  ::umount2("/mnt", MNT_DETACH);
}

std::optional<uint64_t> OfferedFlags() {
  const std::string answer = AskInChild(AskForInit);
  if (answer.size() < sizeof(InitRequest)) return std::nullopt;
  InitRequest init{};
  std::memcpy(&init, answer.data(), sizeof init);
  return uint64_t{init.flags2} << 32 | init.flags;
}

HostCheck Bit(const char* name, uint64_t flags, int bit, const char* what, const char* hint) {
  if ((flags >> bit & 1) != 0) return {name, CheckResult::kOk, what, {}};
  return {name, CheckResult::kMissing, std::string("no ") + what, hint};
}

HostCheck CheckUring() {
  auto state = ReadFile("/sys/module/fuse/parameters/enable_uring");
  const bool on = state && state->starts_with("Y");
  // A choice per tenant, for parallel load: nothing lacks without it.
  return {"FUSE io_uring",
          CheckResult::kOk,
          on ? "on" : "off; only tenants that choose it need it (fuse.enable_uring=1)",
          {}};
}

}  // namespace

std::vector<HostCheck> CheckFuse() {
  if (::access("/dev/fuse", F_OK) != 0)
    return {{"FUSE", CheckResult::kMissing, "no /dev/fuse", "modprobe fuse"}};
  if (::geteuid() != 0)
    return {{"FUSE", CheckResult::kWarning, "/dev/fuse is there; what it can do was not tried",
             "sudo bailey doctor"}};
  const auto flags = OfferedFlags();
  if (!flags)
    return {{"FUSE", CheckResult::kMissing, "a FUSE file system cannot be mounted",
             "modprobe fuse; in a container, it must be allowed /dev/fuse and CAP_SYS_ADMIN"}};
  return {{"FUSE", CheckResult::kOk, "can be mounted", {}},
          Bit("FUSE passthrough", *flags, kPassthrough, "reads and writes at kernel speed",
              "needs Linux 6.9 with CONFIG_FUSE_PASSTHROUGH=y"),
          Bit("FUSE idmap", *flags, kAllowIdmap, "idmapped mounts", "needs Linux 6.12"),
          Bit("FUSE resend", *flags, kResend, "recovery of a killed server", "needs Linux 6.9"),
          CheckUring()};
}

}  // namespace bailey::tenants
