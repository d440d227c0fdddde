#include "fs/machine_sources.h"

#include <unistd.h>

#include <cerrno>

namespace bailey::fs {
namespace {

// In the order of MachineSource.
constexpr std::array<std::string_view, kMachineSources> kNames = {
    "cpu.limit",    "cpu.usage",   "cpu.tasks",       "cpu.throttled",
    "cpu.pressure", "io.pressure", "memory.pressure", "memory.usage",
    "memory.limit", "memory.stat", "swap.usage",      "swap.limit",
    "tasks",        "io.stat",     "host.cpuinfo",    "host.disks"};

}  // namespace

std::optional<MachineSource> MachineSourceOf(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == name) return static_cast<MachineSource>(i);
  return std::nullopt;
}

Result<std::string> MachineSources::Read(MachineSource source, size_t limit) const {
  const int fd = fds_[Index(source)].get();
  const std::string name(kNames[Index(source)]);
  if (fd < 0) return Errno("read " + name, ENOENT);
  constexpr size_t kStep = 4096;
  std::string text;
  while (text.size() < limit) {
    const size_t have = text.size();
    text.resize(have + kStep);
    const ssize_t got = ::pread(fd, text.data() + have, kStep, static_cast<off_t>(have));
    text.resize(have + static_cast<size_t>(got > 0 ? got : 0));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Errno("read " + name);
    if (got == 0) break;
  }
  return text;
}

std::string MachineSources::ReadOrEmpty(MachineSource source) const {
  auto text = Read(source);
  return text ? std::move(*text) : std::string();
}

}  // namespace bailey::fs
