#include "supervisor/machine_sources.h"

#include <fcntl.h>

#include <sstream>

#include "base/files.h"

namespace bailey::supervisor {
namespace {

struct Place {
  const char* name;
  std::string path;
  bool needed;
};

std::vector<Place> Places(const CgroupHost& host, const std::string& cgroup) {
  const std::string tasks = cgroup + "/tenant";
  const bool v1_cpu = host.IsV1(Controller::kCpu), v1_memory = host.IsV1(Controller::kMemory);
  const std::string cpu = host.Of(Controller::kCpu, cgroup);
  const std::string memory = host.Of(Controller::kMemory, tasks);
  std::vector<Place> places{
      {"cpu.limit", cpu + (v1_cpu ? "/cpu.cfs_quota_us" : "/cpu.max"), true},
      {"cpu.usage", host.Unified(cgroup) + "/cpu.stat", true},
      {"cpu.tasks", host.Unified(tasks) + "/cpu.stat", true},
      {"cpu.pressure", host.Unified(tasks) + "/cpu.pressure", false},
      {"io.pressure", host.Unified(tasks) + "/io.pressure", false},
      {"memory.pressure", host.Unified(tasks) + "/memory.pressure", false},
      {"memory.usage", memory + (v1_memory ? "/memory.usage_in_bytes" : "/memory.current"), true},
      {"memory.limit", memory + (v1_memory ? "/memory.limit_in_bytes" : "/memory.max"), true},
      {"memory.stat", memory + "/memory.stat", true},
      {"swap.usage", memory + "/memory.swap.current", false},
      {"swap.limit", memory + "/memory.swap.max", false},
      {"tasks", host.Of(Controller::kPids, tasks) + "/pids.current", true},
      {"io.stat", host.Unified(tasks) + "/io.stat", false},
      {"host.cpuinfo", "/proc/cpuinfo", true},
  };
  // On v2, cpu.usage says it too.
  if (v1_cpu) places.push_back({"cpu.throttled", cpu + "/cpu.stat", true});
  return places;
}

// Names of the host's devices as they are now. The file itself would tell a file server that was
// taken over what everybody's disks do.
Result<UniqueFd> OpenDiskNames() {
  const auto whole = ReadFile("/proc/diskstats", 16 << 20);
  if (!whole) return whole.error();
  std::istringstream lines(*whole);
  std::string names, line;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string major, minor, name;
    if (!(words >> major >> minor >> name)) continue;
    for (const std::string& word : {major, minor}) names.append(word).push_back(' ');
    names.append(name).push_back('\n');
  }
  return SealedText("disk-names", names);
}

}  // namespace

Result<std::vector<MachineSource>> OpenMachineSources(const CgroupHost& host,
                                                      const std::string& cgroup) {
  std::vector<MachineSource> sources;
  for (const Place& place : Places(host, cgroup)) {
    auto fd = OpenPath(place.path, O_RDONLY);
    if (fd)
      sources.push_back({place.name, std::move(*fd)});
    else if (place.needed || fd.error().Errno() != ENOENT)
      return fd.error().Within("the machine's files");
  }
  auto disks = OpenDiskNames();
  if (disks)
    sources.push_back({"host.disks", std::move(*disks)});
  else if (disks.error().Errno() != ENOENT)
    return disks.error().Within("the machine's files");
  return sources;
}

}  // namespace bailey::supervisor
