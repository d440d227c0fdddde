// /proc and /sys of a tenant: see supervisor/tenant_mounts.h.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <string>

#include "base/files.h"
#include "supervisor/mount_tree.h"
#include "supervisor/open_in_child.h"
#include "supervisor/tenant_mounts.h"

namespace bailey::supervisor {
namespace {

constexpr unsigned kProcAttributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
constexpr unsigned kReadOnlyProc = kProcAttributes | MOUNT_ATTR_RDONLY;

struct ProcPath {
  const char* name;
  const char* reason;
};
// Covered by /dev/null. A kernel without one of them has nothing to hide there.
constexpr std::array kMaskedFiles = std::to_array<ProcPath>({
    {"kcore", "the host's memory"},
    {"keys", "keys of all users of the host that the reader may view"},
    {"key-users", "key counts of all users"},
    {"timer_list", "addresses and names of the host's tasks"},
    {"sched_debug", "all tasks of the host"},
    {"kmsg", "the host's kernel log"},
    {"kallsyms", "kernel addresses"},
    {"kpagecount", "the host's pages"},
    {"kpageflags", "the host's pages"},
    {"kpagecgroup", "the host's pages"},
    {"latency_stats", "all tasks of the host"},
    {"interrupts", "timing of other tenants' devices"},
    {"softirqs", "timing of other tenants' traffic"},
    {"schedstat", "use of the host's processors by all tenants"},
    {"zoneinfo", "use of the host's memory by all tenants"},
    {"buddyinfo", "use of the host's memory by all tenants"},
    {"pagetypeinfo", "use of the host's memory by all tenants"},
    {"pressure/irq", "timing of other tenants' devices"},
    {"slabinfo", "kernel heap layout"},
    {"vmallocinfo", "kernel addresses"},
    {"iomem", "physical layout"},
    {"sysrq-trigger", "reboots the host"},
});
// Bound to themselves read-only.
constexpr std::array kReadOnlyDirectories = std::to_array<ProcPath>({
    {"sys", "limits of namespaces stay at 0; net.* belongs to the host's wall"},
    {"bus", "device configuration"},
    {"fs", "settings of the host's file systems"},
    {"irq", "interrupt affinity"},
});
// Covered by an empty read-only tmpfs.
constexpr std::array kEmptyDirectories = std::to_array<ProcPath>({
    {"acpi", "firmware controls"},
    {"scsi", "adds and removes the host's disks"},
    {"driver", "the host's hardware"},
});

Result<UniqueFd> EmptyTmpfs() {
  return NewMount("tmpfs", {{"size", "4k"}, {"nr_inodes", "2"}, {"mode", "555"}}, kReadOnlyProc);
}

// The host's null device, checked: what is bound over secrets must not be another file
// (CVE-2025-31133).
Result<UniqueFd> NullDevice() {
  auto null = OpenPath("/dev/null", O_PATH);
  if (!null) return null;
  struct stat status {};
  if (::fstat(null->get(), &status) != 0) return Errno("fstat /dev/null");
  if (!S_ISCHR(status.st_mode) || status.st_rdev != makedev(1, 3))
    return Errno("check that /dev/null is the null device", EPERM);
  return null;
}

Status MaskFile(int proc, const char* name, int null) {
  const auto target = OpenBeneathNoSymlinks(proc, name, O_PATH);
  if (!target) return target.error().Errno() == ENOENT ? Status() : target.error();
  const auto mask = CloneMount(null, "");
  if (!mask) return mask.error();
  BAILEY_TRY(AddMountAttributes(mask->get(), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID));
  BAILEY_TRY(AttachMount(mask->get(), target->get()));
  // From above, as the tenant will look at it (CVE-2025-52881).
  struct stat seen {};
  if (::fstatat(proc, name, &seen, AT_SYMLINK_NOFOLLOW) != 0) return Errno("stat the mask");
  return seen.st_rdev == makedev(1, 3) ? Status() : Errno("check the mask", EPERM);
}

// Attaches `cover` over a directory of proc and checks that it is what a walk finds there.
Status Cover(int proc, const char* name, int cover) {
  const auto target = OpenBeneathNoSymlinks(proc, name, O_PATH | O_DIRECTORY);
  if (!target) return target.error();
  BAILEY_TRY(AttachMount(cover, target->get()));
  const auto seen = OpenBeneathNoSymlinks(proc, name, O_PATH | O_DIRECTORY);
  if (!seen) return seen.error();
  return CheckMountFlags(seen->get(), ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC, name);
}

Status CoverReadOnly(int proc, const char* name) {
  const auto bind = CloneMount(proc, name);
  if (!bind) return bind.error().Errno() == ENOENT ? Status() : bind.error();
  BAILEY_TRY(AddMountAttributes(bind->get(), kReadOnlyProc));
  return Cover(proc, name, bind->get());
}

Status CoverEmpty(int proc, const char* name) {
  if (::faccessat(proc, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0) return {};
  const auto empty = EmptyTmpfs();
  if (!empty) return empty.error();
  return Cover(proc, name, empty->get());
}

// The pid namespace of a proc mount is that of whoever opened its context: a child of ours made
// after setns(NEWPID), which moves future children alone.
Result<UniqueFd> MountProcOf(int init_pidfd) {
  if (::setns(init_pidfd, CLONE_NEWPID) != 0) return Errno("setns to the tenant's pid namespace");
  const auto context = OpenInChild([]() -> Result<UniqueFd> {
    UniqueFd opened(::fsopen("proc", FSOPEN_CLOEXEC));
    if (!opened) return Errno("fsopen proc");
    return opened;
  });
  if (!context) return context.error();
  return FinishMount(context->get(), "proc", {}, kProcAttributes);
}

// Files that programs read to know the machine, copied from the host's sysfs at start.
constexpr std::array kSysFiles = std::to_array<ProcPath>({
    {"devices/system/cpu/online", "covered by the tenant's own: glibc's and Java's number"},
    {"devices/system/cpu/possible", "per-CPU tables of allocators, indexed by the host's numbers"},
    {"kernel/mm/transparent_hugepage/enabled", "allocators choose their page size by it"},
    {"kernel/mm/transparent_hugepage/hpage_pmd_size", "the Go run time"},
});

Status CopySysFile(int sys, const std::string& path) {
  const auto text = ReadFile("/sys/" + path, 4096);
  if (!text) return {};  // this host has none either
  for (size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1))
    if (::mkdirat(sys, path.substr(0, slash).c_str(), 0755) != 0 && errno != EEXIST)
      return Errno("mkdir /sys/" + path.substr(0, slash));
  const UniqueFd file(::openat(sys, path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444));
  if (!file) return Errno("create /sys/" + path);
  return WriteAll(file.get(), *text);
}

}  // namespace

Status MountProc(int root, int init_pidfd, const MachineFiles& machine) {
  const auto proc = MountProcOf(init_pidfd);
  if (!proc) return proc.error();
  BAILEY_TRY(AttachAt(root, "proc", proc->get()));
  const auto null = NullDevice();
  if (!null) return null.error();
  for (const ProcPath& file : kMaskedFiles)
    if (Status masked = MaskFile(proc->get(), file.name, null->get()); !masked)
      return masked.error().Within(std::string("mask /proc/") + file.name);
  BAILEY_TRY(machine.CoverProc(proc->get()));
  for (const ProcPath& directory : kReadOnlyDirectories)
    if (Status covered = CoverReadOnly(proc->get(), directory.name); !covered)
      return covered.error().Within(std::string("make read-only /proc/") + directory.name);
  for (const ProcPath& directory : kEmptyDirectories)
    if (Status covered = CoverEmpty(proc->get(), directory.name); !covered)
      return covered.error().Within(std::string("empty /proc/") + directory.name);
  return {};
}

Status MountSys(int root, const MachineFiles& machine) {
  const auto sys =
      NewMount("tmpfs", {{"size", "64k"}, {"nr_inodes", "64"}, {"mode", "755"}}, kProcAttributes);
  if (!sys) return sys.error();
  for (const ProcPath& file : kSysFiles) BAILEY_TRY(CopySysFile(sys->get(), file.name));
  for (const char* directory : {"fs", "fs/cgroup"})
    if (::mkdirat(sys->get(), directory, 0555) != 0)
      return Errno(std::string("mkdir /sys/") + directory);
  BAILEY_TRY(AddMountAttributes(sys->get(), MOUNT_ATTR_RDONLY));
  BAILEY_TRY(AttachAt(root, "sys", sys->get()));
  const auto seen = OpenBeneathNoSymlinks(root, "sys", O_PATH | O_DIRECTORY);
  if (!seen) return seen.error();
  BAILEY_TRY(CheckMountFlags(seen->get(), ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC, "/sys"));
  return machine.CoverSys(seen->get());
}

}  // namespace bailey::supervisor
