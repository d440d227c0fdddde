#include "fs/machine_numbers.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/kernel_counters.h"

namespace bailey::fs {
namespace {

constexpr uint64_t kV1Unlimited = 0x7ffffffffffff000;
constexpr double kV1Period = 100'000;  // microseconds

// The next word, after any blanks.
std::string_view TakeWord(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  return TakeUntil(line, ' ');
}

bool ToDevice(std::string_view text, DeviceIo& device) {
  const std::string_view major = TakeUntil(text, ':');
  const auto whole = [](std::string_view digits, unsigned& number) {
    const auto [end, failed] =
        std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return failed == std::errc() && end == digits.data() + digits.size();
  };
  return whole(major, device.major) && whole(text, device.minor);
}

}  // namespace

std::optional<double> CpuLimitOf(std::string_view text) {
  std::string_view line = TakeUntil(text, '\n');
  const auto quota = static_cast<double>(ToNumber(TakeUntil(line, ' ')));
  const auto period = static_cast<double>(ToNumber(line));
  if (quota <= 0) return std::nullopt;  // "max", "-1"
  return quota / (period > 0 ? period : kV1Period);
}

unsigned ShownProcessors(std::optional<double> limit, unsigned host) {
  if (!limit || *limit >= host) return host;
  // What a quota in whole microseconds has rounded up is no processor more.
  return std::max(1U, static_cast<unsigned>(std::ceil(*limit - 1e-4)));
}

std::optional<uint64_t> ByteLimitOf(std::string_view text) {
  if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
  const uint64_t bytes = ToNumber(text);
  return bytes >= kV1Unlimited ? std::nullopt : std::optional(bytes);
}

MemoryParts MemoryPartsOf(std::string_view text) {
  struct Row {
    uint64_t MemoryParts::*part;
    std::string_view v2, v1;
  };
  static constexpr Row kRows[] = {
      {&MemoryParts::anonymous, "anon", "total_rss"},
      {&MemoryParts::file, "file", "total_cache"},
      {&MemoryParts::shared, "shmem", "total_shmem"},
      {&MemoryParts::mapped, "file_mapped", "total_mapped_file"},
      {&MemoryParts::dirty, "file_dirty", "total_dirty"},
      {&MemoryParts::writeback, "file_writeback", "total_writeback"},
      {&MemoryParts::active_anonymous, "active_anon", "total_active_anon"},
      {&MemoryParts::inactive_anonymous, "inactive_anon", "total_inactive_anon"},
      {&MemoryParts::active_file, "active_file", "total_active_file"},
      {&MemoryParts::inactive_file, "inactive_file", "total_inactive_file"},
      {&MemoryParts::unevictable, "unevictable", "total_unevictable"},
      {&MemoryParts::slab_reclaimable, "slab_reclaimable", ""},
      {&MemoryParts::slab_unreclaimable, "slab_unreclaimable", ""},
      {&MemoryParts::kernel_stack, "kernel_stack", ""},
      {&MemoryParts::page_tables, "pagetables", ""},
      {&MemoryParts::swap, "", "total_swap"},
      {&MemoryParts::faults, "pgfault", "total_pgfault"},
      {&MemoryParts::major_faults, "pgmajfault", "total_pgmajfault"},
  };
  const bool v1 = text.find("\ntotal_cache ") != std::string_view::npos;
  MemoryParts parts;
  while (!text.empty()) {
    std::string_view line = TakeUntil(text, '\n');
    const std::string_view key = TakeUntil(line, ' ');
    for (const Row& row : kRows)
      if (key == (v1 ? row.v1 : row.v2)) parts.*row.part = ToNumber(line);
  }
  return parts;
}

std::vector<DeviceIo> DeviceIoOf(std::string_view text) {
  std::vector<DeviceIo> devices;
  while (!text.empty()) {
    std::string_view line = TakeUntil(text, '\n');
    DeviceIo device;
    if (!ToDevice(TakeWord(line), device)) continue;
    while (!line.empty()) {
      std::string_view value = TakeWord(line);
      const std::string_view key = TakeUntil(value, '=');
      if (key == "rbytes") device.read_bytes = ToNumber(value);
      if (key == "wbytes") device.written_bytes = ToNumber(value);
      if (key == "rios") device.reads = ToNumber(value);
      if (key == "wios") device.writes = ToNumber(value);
      if (key == "dbytes") device.discarded_bytes = ToNumber(value);
      if (key == "dios") device.discards = ToNumber(value);
    }
    devices.push_back(device);
  }
  return devices;
}

std::string DeviceNameOf(std::string_view devices, unsigned major, unsigned minor) {
  const std::string wanted_major = std::to_string(major), wanted_minor = std::to_string(minor);
  while (!devices.empty()) {
    std::string_view line = TakeUntil(devices, '\n');
    const std::string_view first = TakeWord(line), second = TakeWord(line);
    if (first == wanted_major && second == wanted_minor) return std::string(TakeWord(line));
  }
  return {};
}

}  // namespace bailey::fs
