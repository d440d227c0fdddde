// Files of /proc and /sys by which a kernel is told what to do, and those that show what is not the
// tenant's.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "tenants/probe/report.h"

namespace bailey::probe {
namespace {

constexpr const char* kWall = "files";

// Opening is enough to know; nothing is written.
int OpenToWrite(const char* path) { return ResultOf(::open(path, O_WRONLY | O_CLOEXEC)); }

// What is covered by /dev/null, or empty, says and does nothing.
int LookBehindMask(const char* path) {
  struct stat info {};
  if (::stat(path, &info) != 0) return errno;
  if (S_ISCHR(info.st_mode) && info.st_rdev == makedev(1, 3)) return ENODATA;
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  char byte = 0;
  const ssize_t got = ::read(fd, &byte, 1);
  return got < 0 ? errno : got == 0 ? ENODATA : kThrough;
}

int CreateIn(const std::string& folder) {
  const std::string path = folder + "/bailey-probe";
  const int result = ResultOf(::mkdir(path.c_str(), 0700));
  if (result == kThrough) ::rmdir(path.c_str());
  return result;
}

}  // namespace

void TryFiles(Report& report, const Options&) {
  const std::vector<int> refused = {EROFS, EACCES, EPERM, ENOENT};
  for (const char* path :
       {"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/sysrq",
        "/proc/sys/kernel/hostname", "/proc/sys/vm/overcommit_memory", "/proc/sys/vm/drop_caches",
        "/proc/sys/fs/file-max", "/proc/sys/fs/binfmt_misc/register",
        "/proc/sys/user/max_user_namespaces", "/proc/irq/default_smp_affinity", "/proc/scsi/scsi",
        "/sys/kernel/uevent_helper", "/sys/power/state",
        "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/fs/cgroup/cgroup.procs",
        "/sys/fs/cgroup/memory/release_agent", "/sys/fs/cgroup/unified/cgroup.procs",
        "/sys/module/kernel/parameters/panic"})
    report.Denied(kWall, std::string("write ") + path, refused,
                  [path] { return OpenToWrite(path); });
  for (const char* path : {"/proc/kcore", "/proc/kmsg", "/proc/kallsyms", "/proc/keys",
                           "/proc/timer_list", "/proc/sched_debug", "/proc/slabinfo",
                           "/proc/vmallocinfo", "/proc/iomem", "/proc/sysrq-trigger"})
    report.Denied(kWall, std::string("look into ") + path, {ENODATA, ENOENT, EACCES, EPERM},
                  [path] { return LookBehindMask(path); });
  for (const char* folder : {"/proc", "/sys", "/sys/fs/cgroup", "/proc/sys"})
    report.Denied(kWall, std::string("make a directory in ") + folder,
                  {EROFS, EACCES, EPERM, ENOENT}, [folder] { return CreateIn(folder); });
}

}  // namespace bailey::probe
