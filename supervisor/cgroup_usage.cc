#include "supervisor/cgroup_usage.h"

#include <sys/stat.h>

#include "base/files.h"
#include "base/kernel_counters.h"

namespace bailey::supervisor {
namespace {

std::string ReadOrEmpty(const std::string& path) {
  auto text = ReadFile(path);
  return text ? std::move(*text) : std::string();
}

uint64_t ReadNumber(const std::string& path) { return ToNumber(ReadOrEmpty(path)); }

double Seconds(uint64_t microseconds) { return static_cast<double>(microseconds) / 1e6; }

// v2 counts CPU time of every group, whether or not the cpu controller is there.
void ReadCpu(const CgroupHost& host, std::string_view name, CgroupUsage& usage) {
  const std::string time = ReadOrEmpty(host.Unified(name) + "/cpu.stat");
  usage.cpu_seconds = Seconds(KeyedNumber(time, "usage_usec"));
  usage.cpu_user_seconds = Seconds(KeyedNumber(time, "user_usec"));
  usage.cpu_system_seconds = Seconds(KeyedNumber(time, "system_usec"));
  const bool v1 = host.IsV1(Controller::kCpu);
  const std::string throttled =
      v1 ? ReadOrEmpty(host.Of(Controller::kCpu, name) + "/cpu.stat") : time;
  usage.cpu_throttled_periods = KeyedNumber(throttled, "nr_throttled");
  usage.cpu_throttled_seconds =
      v1 ? static_cast<double>(KeyedNumber(throttled, "throttled_time")) / 1e9
         : Seconds(KeyedNumber(throttled, "throttled_usec"));
}

void ReadMemory(const CgroupHost& host, const std::string& name, CgroupUsage& usage) {
  const std::string dir = host.Of(Controller::kMemory, name + "/tenant");
  const std::string servers = host.Of(Controller::kMemory, name + "/servers");
  if (host.IsV1(Controller::kMemory)) {
    usage.memory_bytes = ReadNumber(dir + "/memory.usage_in_bytes");
    usage.memory_file_bytes = KeyedNumber(ReadOrEmpty(dir + "/memory.stat"), "total_cache");
    usage.memory_limit_hits = ReadNumber(dir + "/memory.failcnt");
    usage.servers_memory_bytes = ReadNumber(servers + "/memory.usage_in_bytes");
  } else {
    usage.memory_bytes = ReadNumber(dir + "/memory.current");
    usage.memory_file_bytes = KeyedNumber(ReadOrEmpty(dir + "/memory.stat"), "file");
    usage.memory_limit_hits = KeyedNumber(ReadOrEmpty(dir + "/memory.events"), "max");
    usage.servers_memory_bytes = ReadNumber(servers + "/memory.current");
  }
  usage.oom_kills = ReadOomKills(host, name);
}

}  // namespace

uint64_t ReadOomKills(const CgroupHost& host, std::string_view name) {
  const std::string dir = host.Of(Controller::kMemory, std::string(name) + "/tenant");
  const bool v1 = host.IsV1(Controller::kMemory);
  return KeyedNumber(ReadOrEmpty(dir + (v1 ? "/memory.oom_control" : "/memory.events")),
                     "oom_kill");
}

CgroupNow ReadCgroupNow(const CgroupHost& host, const std::string& name) {
  const std::string tasks = name + "/tenant", unified = host.Unified(tasks);
  const bool v1 = host.IsV1(Controller::kMemory);
  CgroupNow now;
  now.memory_bytes = ReadNumber(host.Of(Controller::kMemory, tasks) +
                                (v1 ? "/memory.usage_in_bytes" : "/memory.current"));
  now.tasks = ReadNumber(host.Of(Controller::kPids, tasks) + "/pids.current");
  now.cpu_microseconds = KeyedNumber(ReadOrEmpty(host.Unified(name) + "/cpu.stat"), "usage_usec");
  now.cpu_waiting_microseconds = PressureTotalOf(ReadOrEmpty(unified + "/cpu.pressure"));
  now.io_waiting_microseconds = PressureTotalOf(ReadOrEmpty(unified + "/io.pressure"));
  return now;
}

CgroupUsage ReadCgroupUsage(const CgroupHost& host, std::string_view name) {
  CgroupUsage usage;
  const std::string whole(name);
  struct stat status {};
  usage.present = ::stat(host.Unified(whole + "/tenant").c_str(), &status) == 0;
  if (!usage.present) return usage;
  ReadCpu(host, name, usage);
  ReadMemory(host, whole, usage);
  const std::string pids = host.Of(Controller::kPids, whole + "/tenant");
  usage.tasks = ReadNumber(pids + "/pids.current");
  usage.pids_limit_hits = KeyedNumber(ReadOrEmpty(pids + "/pids.events"), "max");
  return usage;
}

}  // namespace bailey::supervisor
