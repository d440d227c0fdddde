#include "fs/counter_text.h"

#include <sys/xattr.h>

#include <array>

namespace bailey::fs {
namespace {

// In the order of FsCounter.
constexpr auto kNames = std::to_array<std::string_view>(
    {"lookups", "opens", "creates", "reads", "writes", "readdirs", "getattrs", "setattrs",
     "mutations", "copy_ups", "copy_up_bytes", "passthrough_opens", "errors", "requests", "denied",
     "open_files", "nodes"});
static_assert(kNames.size() == static_cast<size_t>(FsCounter::kCount));

}  // namespace

std::string CounterText(const CounterPage<FsCounter>& counters) {
  std::string text;
  for (size_t i = 0; i < kNames.size(); ++i)
    text.append(kNames[i]) += " " + std::to_string(counters.Get(static_cast<FsCounter>(i))) + "\n";
  return text;
}

Result<std::string> AskForCounters(const std::string& mount_point) {
  std::string text(4096, '\0');
  const ssize_t size = ::getxattr(mount_point.c_str(), std::string(kCountersAttribute).c_str(),
                                  text.data(), text.size());
  if (size < 0)
    return Errno("counters of " + mount_point)
        .WithHint("is it the mount point of a bailey-fs, and are you root?");
  text.resize(static_cast<size_t>(size));
  return text;
}

}  // namespace bailey::fs
