#include "supervisor/cgroup_host.h"

#include <charconv>
#include <sstream>
#include <vector>

#include "base/files.h"

namespace bailey::supervisor {
namespace {

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);)
    if (!part.empty()) parts.push_back(part);
  return parts;
}

// The kernel writes blank, tab, newline and backslash in paths as \ooo.
std::string Unescape(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned code = 0;
    const char* const digits = text.data() + i + 1;
    if (text[i] == '\\' && i + 3 < text.size() &&
        std::from_chars(digits, digits + 3, code, 8).ptr == digits + 3) {
      out += static_cast<char>(code);
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

struct CgroupMount {
  std::string point, type, options;
};

// "31 23 0:28 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw": optional fields end at " - ".
std::vector<CgroupMount> CgroupMounts(const std::string& table) {
  std::vector<CgroupMount> mounts;
  for (const std::string& line : Split(table, '\n')) {
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    const auto before = Split(line.substr(0, dash), ' ');
    const auto after = Split(line.substr(dash + 3), ' ');
    if (before.size() < 6 || after.size() < 3 || before[3] != "/") continue;
    if (after[0] == "cgroup" || after[0] == "cgroup2")
      mounts.push_back({Unescape(before[4]), after[0], after[2]});
  }
  return mounts;
}

bool Contains(const std::vector<std::string>& list, const std::string& item) {
  for (const std::string& each : list)
    if (each == item) return true;
  return false;
}

}  // namespace

const char* ControllerName(Controller controller) {
  constexpr std::array<const char*, 3> kNames = {"cpu", "memory", "pids"};
  return kNames[static_cast<size_t>(controller)];
}

Result<CgroupHost> CgroupHost::Detect() {
  auto table = ReadFile("/proc/self/mountinfo", 64 << 20);
  if (!table) return table.error();
  return FromMountinfo(*table);
}

Result<CgroupHost> CgroupHost::FromMountinfo(std::string_view table) {
  CgroupHost host;
  for (const CgroupMount& mount : CgroupMounts(std::string(table))) {
    if (mount.type == "cgroup2") {
      if (host.unified_.empty()) host.unified_ = mount.point;
      continue;
    }
    const auto options = Split(mount.options, ',');
    for (const Controller controller : kControllers) {
      std::string& point = host.v1_[Index(controller)];
      if (point.empty() && Contains(options, ControllerName(controller))) point = mount.point;
    }
  }
  if (host.unified_.empty())
    return Errno("find a cgroup v2 tree among the mounts", ENOENT)
        .WithHint("mount -t cgroup2 cgroup2 /sys/fs/cgroup");
  const auto available = ReadFile(host.unified_ + "/cgroup.controllers");
  if (!available) return available.error();
  std::string line = *available;
  if (!line.empty() && line.back() == '\n') line.pop_back();
  const auto on_v2 = Split(line, ' ');
  host.counts_io_ = Contains(on_v2, "io");
  for (const Controller controller : kControllers)
    if (!host.IsV1(controller) && !Contains(on_v2, ControllerName(controller)))
      return Errno(std::string("find the cgroup controller ") + ControllerName(controller), ENOENT)
          .WithHint(
              "boot with it enabled; the kernel's cgroup_disable= or a v1 mount elsewhere "
              "may hold it");
  return host;
}

std::string CgroupHost::Unified(std::string_view name) const {
  return unified_ + "/" + std::string(name);
}

std::string CgroupHost::Of(Controller controller, std::string_view name) const {
  return (IsV1(controller) ? v1_[Index(controller)] : unified_) + "/" + std::string(name);
}

}  // namespace bailey::supervisor
