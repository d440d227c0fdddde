#include "supervisor/machine_files.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>

#include "base/files.h"
#include "supervisor/mount_tree.h"

namespace bailey::supervisor {
namespace {

struct Place {
  const char* name;
  const char* path;
};
constexpr auto kProcPlaces = std::to_array<Place>({
    {"meminfo", "meminfo"},
    {"cpuinfo", "cpuinfo"},
    {"stat", "stat"},
    {"uptime", "uptime"},
    {"loadavg", "loadavg"},
    {"swaps", "swaps"},
    {"vmstat", "vmstat"},
    {"diskstats", "diskstats"},
    {"pressure.cpu", "pressure/cpu"},
    {"pressure.io", "pressure/io"},
    {"pressure.memory", "pressure/memory"},
});
constexpr auto kSysPlaces = std::to_array<Place>({
    {"online", "devices/system/cpu/online"},
});

Status CoverOne(int root, const MachineFile& file) {
  const auto target = OpenBeneathNoSymlinks(root, file.place, O_PATH);
  if (!target) return target.error().Errno() == ENOENT ? Status() : target.error();
  BAILEY_TRY(AttachMount(file.mount.get(), target->get()));
  const auto seen = OpenBeneathNoSymlinks(root, file.place, O_PATH);
  if (!seen) return seen.error();
  struct stat wanted {
  }, found{};
  if (::fstat(file.mount.get(), &wanted) != 0 || ::fstat(seen->get(), &found) != 0)
    return Errno("stat the tenant's file");
  if (wanted.st_dev != found.st_dev || wanted.st_ino != found.st_ino)
    return Errno("check the tenant's file", EPERM);
  return CheckMountFlags(seen->get(), ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC, file.place);
}

template <size_t N>
Status TakeAll(int machine, const std::array<Place, N>& places, std::vector<MachineFile>& files) {
  for (const Place& place : places) {
    auto mount = CloneMount(machine, place.name);
    if (!mount) return mount.error();
    files.push_back({place.name, place.path, std::move(*mount)});
  }
  return {};
}

}  // namespace

Result<MachineFiles> MachineFiles::Take(int machine, int place) {
  MachineFiles files;
  BAILEY_TRY(AttachMount(machine, place));  // only what is attached here can be copied
  BAILEY_TRY(TakeAll(machine, kProcPlaces, files.proc_));
  BAILEY_TRY(TakeAll(machine, kSysPlaces, files.sys_));
  if (::fchdir(machine) != 0 || ::umount2(".", MNT_DETACH) != 0 || ::chdir("/") != 0)
    return Errno("unmount the machine's files");
  return files;
}

Status MachineFiles::Cover(int root, const std::vector<MachineFile>& files) {
  for (const MachineFile& file : files)
    if (Status covered = CoverOne(root, file); !covered)
      return covered.error().Within(std::string("show the tenant's own ") + file.place);
  return {};
}

}  // namespace bailey::supervisor
