// Who the tenant's root is to the kernel: capabilities, filter, ids, descriptors, limits, cgroup.
#include <dirent.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>

#include "tenants/probe/report.h"

namespace bailey::probe {
namespace {

constexpr const char* kWall = "identity";

// DESIGN's list, written down a second time on purpose: verify is to notice when the supervisor's
// own changes.
constexpr auto kKept = std::to_array<int>(
    {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_KILL, CAP_SETGID, CAP_SETUID,
     CAP_SETPCAP, CAP_NET_BIND_SERVICE, CAP_NET_RAW, CAP_IPC_OWNER, CAP_SYS_CHROOT, CAP_SYS_PTRACE,
     CAP_SYS_BOOT, CAP_SYS_NICE, CAP_LEASE, CAP_AUDIT_WRITE, CAP_SETFCAP});

std::string Hex(uint64_t mask) {
  std::array<char, 20> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(mask));
  return text.data();
}

void LookAtCapabilities(Report& report, const Options& options, const std::string& status) {
  uint64_t kept = options.allow_mount ? uint64_t{1} << CAP_SYS_ADMIN : 0;
  for (const int capability : kKept) kept |= uint64_t{1} << capability;
  struct Row {
    const char* field;
    const char* name;
    uint64_t expected;
  };
  for (const Row& row : {Row{"CapEff", "effective", kept}, Row{"CapPrm", "permitted", kept},
                         Row{"CapBnd", "bounding", kept}, Row{"CapInh", "inheritable", 0},
                         Row{"CapAmb", "ambient", 0}}) {
    const std::string got = StatusField(status, row.field);
    report.Fact(kWall, std::string("the ") + row.name + " capabilities", Hex(row.expected), got,
                got == Hex(row.expected));
  }
}

// "0 1048576 65535": one range, far above the host's own ids.
void LookAtMap(Report& report, const char* path) {
  const std::string text = ReadText(path);
  unsigned long inside = 1, outside = 0, count = 0;
  int used = 0;
  const int read = std::sscanf(text.c_str(), "%lu %lu %lu %n", &inside, &outside, &count, &used);
  const bool one = read == 3 && static_cast<size_t>(used) == text.size();
  report.Fact(kWall, path, "0 to ids of its own",
              std::to_string(inside) + " to " + std::to_string(outside) + ", " +
                  std::to_string(count) + " ids",
              one && inside == 0 && outside >= 65536 && count <= 65536);
}

// 0, 1 and 2, and none of them a directory, a file of the host's or a device but null and
// terminals.
std::string LeakedDescriptors() {
  std::string leaked;
  DIR* directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return "unknown";
  while (const dirent* entry = ::readdir(directory)) {
    const int fd = std::atoi(entry->d_name);
    if (entry->d_name[0] == '.' || fd == ::dirfd(directory)) continue;
    struct stat info {};
    ::fstat(fd, &info);
    const bool stdio = fd <= 2 && (S_ISFIFO(info.st_mode) || S_ISCHR(info.st_mode));
    if (!stdio) leaked += (leaked.empty() ? "" : " ") + std::string(entry->d_name);
  }
  ::closedir(directory);
  return leaked.empty() ? "none" : leaked;
}

void LookAtLimits(Report& report) {
  struct Row {
    int resource;
    const char* name;
    rlim_t most;
  };
  for (const Row& row :
       {Row{RLIMIT_NICE, "priority", 0}, Row{RLIMIT_RTPRIO, "real time priority", 0},
        Row{RLIMIT_MSGQUEUE, "message queues", 1 << 20}}) {
    rlimit limit{};
    ::getrlimit(static_cast<__rlimit_resource>(row.resource), &limit);
    const std::string got =
        limit.rlim_max == RLIM_INFINITY ? "unlimited" : std::to_string(limit.rlim_max);
    report.Fact(kWall, std::string("the limit of ") + row.name,
                "at most " + std::to_string(row.most), got, limit.rlim_max <= row.most);
  }
}

// Every hierarchy that Bailey uses has the tenant's group as its root: "12:pids:/", "0::/".
void LookAtCgroups(Report& report) {
  const std::string table = ReadText("/proc/self/cgroup");
  std::string outside;
  for (size_t at = 0, end = 0; (end = table.find('\n', at)) != std::string::npos; at = end + 1) {
    const std::string line = table.substr(at, end - at);
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    bool ours = controllers == ",,";
    for (const char* name : {",cpu,", ",memory,", ",pids,"})
      ours = ours || controllers.find(name) != std::string::npos;
    if (ours && line.substr(second + 1) != "/") outside += (outside.empty() ? "" : " ") + line;
  }
  report.Fact(kWall, "the cgroups that it sees", "its own as /",
              outside.empty() ? "its own as /" : outside, outside.empty() && !table.empty());
}

}  // namespace

void LookAtIdentity(Report& report, const Options& options) {
  const std::string status = ReadText("/proc/self/status");
  LookAtCapabilities(report, options, status);
  const std::string mode = StatusField(status, "Seccomp");
  report.Fact(kWall, "the seccomp mode", "2", mode, mode == "2");
  const std::string uids = StatusField(status, "Uid"), groups = StatusField(status, "Groups");
  report.Fact(kWall, "the user", "0000", uids, uids == "0000");
  report.Fact(kWall, "groups besides", "none", groups.empty() ? "none" : groups, groups.empty());
  LookAtMap(report, "/proc/self/uid_map");
  LookAtMap(report, "/proc/self/gid_map");
  const std::string leaked = LeakedDescriptors();
  report.Fact(kWall, "descriptors left open", "none", leaked, leaked == "none");
  LookAtLimits(report);
  LookAtCgroups(report);
}

}  // namespace bailey::probe
