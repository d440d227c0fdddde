// Devices: none can be made, and /dev holds only those that lead nowhere.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "tenants/probe/report.h"

namespace bailey::probe {
namespace {

constexpr const char* kWall = "devices";

struct Node {
  unsigned major, minor;
};
// null zero full random urandom tty ptmx; 136 and on are terminals of the tenant's own devpts.
constexpr auto kHarmless =
    std::to_array<Node>({{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 2}});
constexpr unsigned kFirstTerminal = 136, kLastTerminal = 143;

int MakeNode(const std::string& folder, mode_t type, unsigned major, unsigned minor) {
  const std::string path = folder + "/.bailey-probe-" + std::to_string(::getpid());
  const int result = ResultOf(::mknod(path.c_str(), type | 0600, makedev(major, minor)));
  if (result == kThrough) ::unlink(path.c_str());
  return result;
}

bool Harmless(const struct stat& info) {
  const unsigned major = ::major(info.st_rdev), minor = ::minor(info.st_rdev);
  if (S_ISBLK(info.st_mode)) return false;
  if (major >= kFirstTerminal && major <= kLastTerminal) return true;
  for (const Node& node : kHarmless)
    if (node.major == major && node.minor == minor) return true;
  return false;
}

// Names of what is a device in `path` and below, and should not be there.
void FindDevices(const std::string& path, int depth, std::string* found) {
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return;
  while (const dirent* entry = ::readdir(directory)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    std::string child = path;
    child.append("/").append(name);
    struct stat info {};
    if (::lstat(child.c_str(), &info) != 0) continue;
    if (S_ISDIR(info.st_mode) && depth > 0) FindDevices(child, depth - 1, found);
    const bool device = S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode);
    if (device && !Harmless(info)) found->append(found->empty() ? "" : " ").append(child);
  }
  ::closedir(directory);
}

}  // namespace

void TryDevices(Report& report, const Options&) {
  for (const char* folder : {"/tmp", "/dev", "/root"}) {
    const std::string in = std::string(" in ") + folder;
    const std::vector<int> refused = {EPERM};
    report.Denied(kWall, "mknod c 1:1, memory" + in, refused,
                  [folder] { return MakeNode(folder, S_IFCHR, 1, 1); });
    report.Denied(kWall, "mknod b 8:0, a disk" + in, refused,
                  [folder] { return MakeNode(folder, S_IFBLK, 8, 0); });
  }
  report.Denied(kWall, "mknod c 0:0, a whiteout", {EPERM},
                [] { return MakeNode("/root", S_IFCHR, 0, 0); });
  for (const char* path : {"/dev/mem", "/dev/kmem", "/dev/port", "/dev/kmsg", "/dev/sda",
                           "/dev/vda", "/dev/nvme0n1", "/dev/loop-control", "/dev/fuse",
                           "/dev/net/tun", "/dev/kvm", "/dev/vsock", "/dev/userfaultfd"})
    report.Denied(kWall, std::string("open ") + path, {ENOENT},
                  [path] { return ResultOf(::open(path, O_RDONLY | O_CLOEXEC)); });
  std::string found;
  FindDevices("/dev", 3, &found);
  report.Fact(kWall, "look for others in /dev", "none", found.empty() ? "none" : found,
              found.empty());
}

}  // namespace bailey::probe
