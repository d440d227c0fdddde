#include "fs/machine_texts.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdarg>
#include <cstdio>

namespace bailey::fs {
namespace {

constexpr uint64_t kMicrosecondsPerTick = 10'000;  // USER_HZ is 100 on every architecture we know
constexpr uint64_t kSector = 512;

[[gnu::format(printf, 2, 3)]] void Append(std::string& text, const char* format, ...) {
  std::array<char, 256> line{};
  va_list arguments;
  va_start(arguments, format);
  const int length = std::vsnprintf(line.data(), line.size(), format, arguments);
  va_end(arguments);
  text.append(line.data(), std::min(line.size() - 1, static_cast<size_t>(std::max(length, 0))));
}

unsigned long long Kib(uint64_t bytes) { return bytes >> 10; }
unsigned long long Ticks(uint64_t microseconds) { return microseconds / kMicrosecondsPerTick; }
unsigned long long Sectors(uint64_t bytes) { return bytes / kSector; }
unsigned long long Pages(uint64_t bytes) {
  return bytes / static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

void AppendCpu(std::string& text, const std::string& name, const MachinePicture& machine,
               unsigned divisor) {
  Append(text, "%s %llu 0 %llu %llu 0 0 0 %llu 0 0\n", name.c_str(), Ticks(machine.user / divisor),
         Ticks(machine.system / divisor), Ticks(machine.idle / divisor),
         Ticks(machine.stolen / divisor));
}

}  // namespace

uint64_t MemoryPicture::available() const {
  const uint64_t droppable = parts.active_file + parts.inactive_file + parts.slab_reclaimable;
  return std::min(total, free() + std::min(droppable, used));
}

uint64_t ShownMemory(std::optional<uint64_t> limit, uint64_t host_total) {
  return limit ? std::min(*limit, host_total) : host_total;
}

std::string MeminfoText(const MemoryPicture& memory) {
  const MemoryParts& parts = memory.parts;
  const uint64_t slab = parts.slab_reclaimable + parts.slab_unreclaimable;
  const struct {
    const char* name;
    uint64_t bytes;
  } rows[] = {
      {"MemTotal:", memory.total},
      {"MemFree:", memory.free()},
      {"MemAvailable:", memory.available()},
      {"Buffers:", 0},
      {"Cached:", std::min(parts.file, memory.used)},
      {"SwapCached:", 0},
      {"Active:", parts.active_anonymous + parts.active_file},
      {"Inactive:", parts.inactive_anonymous + parts.inactive_file},
      {"Active(anon):", parts.active_anonymous},
      {"Inactive(anon):", parts.inactive_anonymous},
      {"Active(file):", parts.active_file},
      {"Inactive(file):", parts.inactive_file},
      {"Unevictable:", parts.unevictable},
      {"Mlocked:", 0},
      {"SwapTotal:", memory.swap_total},
      {"SwapFree:", memory.swap_total - std::min(memory.swap_total, memory.swap_used)},
      {"Dirty:", parts.dirty},
      {"Writeback:", parts.writeback},
      {"AnonPages:", parts.anonymous},
      {"Mapped:", parts.mapped},
      {"Shmem:", parts.shared},
      {"KReclaimable:", parts.slab_reclaimable},
      {"Slab:", slab},
      {"SReclaimable:", parts.slab_reclaimable},
      {"SUnreclaim:", parts.slab_unreclaimable},
      {"KernelStack:", parts.kernel_stack},
      {"PageTables:", parts.page_tables},
      {"NFS_Unstable:", 0},
      {"Bounce:", 0},
      {"WritebackTmp:", 0},
      {"CommitLimit:", memory.total + memory.swap_total},
      {"Committed_AS:", std::min(memory.used, memory.total)},
      {"VmallocTotal:", 0},
      {"VmallocUsed:", 0},
      {"VmallocChunk:", 0},
  };
  std::string text;
  for (const auto& row : rows) Append(text, "%-15s %8llu kB\n", row.name, Kib(row.bytes));
  for (const char* name :
       {"HugePages_Total:", "HugePages_Free:", "HugePages_Rsvd:", "HugePages_Surp:"})
    Append(text, "%-15s %8d\n", name, 0);
  return text + "Hugepagesize:       2048 kB\n";
}

std::string SwapsText(const MemoryPicture& memory) {
  std::string text = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
  if (memory.swap_total > 0)
    Append(text, "%-39s virtual\t\t%llu\t\t%llu\t\t-1\n", "none", Kib(memory.swap_total),
           Kib(std::min(memory.swap_total, memory.swap_used)));
  return text;
}

std::string VmstatText(const MemoryPicture& memory, const std::vector<DeviceIo>& devices) {
  const MemoryParts& parts = memory.parts;
  uint64_t read = 0, written = 0;
  for (const DeviceIo& device : devices) {
    read += device.read_bytes;
    written += device.written_bytes;
  }
  std::string text;
  Append(text, "nr_free_pages %llu\n", Pages(memory.free()));
  Append(text, "nr_inactive_anon %llu\n", Pages(parts.inactive_anonymous));
  Append(text, "nr_active_anon %llu\n", Pages(parts.active_anonymous));
  Append(text, "nr_inactive_file %llu\n", Pages(parts.inactive_file));
  Append(text, "nr_active_file %llu\n", Pages(parts.active_file));
  Append(text, "nr_unevictable %llu\n", Pages(parts.unevictable));
  Append(text, "nr_anon_pages %llu\n", Pages(parts.anonymous));
  Append(text, "nr_mapped %llu\n", Pages(parts.mapped));
  Append(text, "nr_file_pages %llu\n", Pages(parts.file));
  Append(text, "nr_dirty %llu\n", Pages(parts.dirty));
  Append(text, "nr_writeback %llu\n", Pages(parts.writeback));
  Append(text, "nr_shmem %llu\n", Pages(parts.shared));
  Append(text, "nr_slab_reclaimable %llu\n", Pages(parts.slab_reclaimable));
  Append(text, "nr_slab_unreclaimable %llu\n", Pages(parts.slab_unreclaimable));
  Append(text, "pgpgin %llu\npgpgout %llu\n", Kib(read), Kib(written));
  Append(text, "pswpin 0\npswpout 0\n");
  Append(text, "pgfault %llu\npgmajfault %llu\n", static_cast<unsigned long long>(parts.faults),
         static_cast<unsigned long long>(parts.major_faults));
  return text;
}

std::string StatText(const MachinePicture& machine) {
  std::string text;
  AppendCpu(text, "cpu ", machine, 1);
  for (unsigned i = 0; i < machine.processors; ++i)
    AppendCpu(text, "cpu" + std::to_string(i), machine, machine.processors);
  text += "intr 0\nctxt 0\n";
  Append(text, "btime %lld\n", static_cast<long long>(machine.started_at));
  Append(text, "processes %llu\n", static_cast<unsigned long long>(machine.tasks));
  // Whoever reads this is running.
  Append(text, "procs_running %ld\n", std::max(1L, std::lround(machine.running)));
  Append(text, "procs_blocked %ld\n", std::lround(machine.blocked));
  return text + "softirq 0 0 0 0 0 0 0 0 0 0 0\n";
}

std::string UptimeText(const MachinePicture& machine) {
  const auto hundredths = [](uint64_t microseconds) {
    return static_cast<unsigned long long>(microseconds / 10'000 % 100);
  };
  std::string text;
  Append(text, "%llu.%02llu %llu.%02llu\n", static_cast<unsigned long long>(machine.up / 1'000'000),
         hundredths(machine.up), static_cast<unsigned long long>(machine.idle / 1'000'000),
         hundredths(machine.idle));
  return text;
}

std::string LoadavgText(const LoadAverages& load, uint64_t tasks) {
  const auto& values = load.values();
  const auto all = static_cast<unsigned long long>(std::max<uint64_t>(tasks, 1));
  const auto active = std::clamp<unsigned long long>(
      static_cast<unsigned long long>(std::lround(load.running() + load.blocked())), 1, all);
  std::string text;
  Append(text, "%.2f %.2f %.2f %llu/%llu %llu\n", values[0], values[1], values[2], active, all,
         all);
  return text;
}

std::string DiskstatsText(const std::vector<NamedDevice>& devices) {
  std::string text;
  for (const auto& [io, name] : devices)
    Append(text, "%4u %7u %.64s %llu 0 %llu 0 %llu 0 %llu 0 0 0 0 %llu 0 %llu 0 0 0\n", io.major,
           io.minor, name.c_str(), static_cast<unsigned long long>(io.reads),
           Sectors(io.read_bytes), static_cast<unsigned long long>(io.writes),
           Sectors(io.written_bytes), static_cast<unsigned long long>(io.discards),
           Sectors(io.discarded_bytes));
  return text;
}

std::string CpuinfoText(std::string_view host, unsigned processors) {
  constexpr std::string_view kNumber = "processor\t: ";
  std::string text;
  for (unsigned i = 0; i < processors && host.starts_with(kNumber); ++i) {
    const size_t end = std::min(host.find("\n\n"), host.size());
    const std::string_view block = host.substr(0, end);
    text.append(kNumber).append(std::to_string(i));
    text.append(block.substr(std::min(block.find('\n'), block.size()))).append("\n\n");
    host.remove_prefix(std::min(end + 2, host.size()));
  }
  return text;
}

std::string OnlineText(unsigned processors) {
  return processors <= 1 ? "0\n" : "0-" + std::to_string(processors - 1) + "\n";
}

}  // namespace bailey::fs
