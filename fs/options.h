// The command line of bailey-fs. Pure.
//   bailey-fs --fuse-fd N --lower-fd N… [--upper-fd N --work-fd N] --ready-fd N …   per tenant
//   bailey-fs --lower A --lower B [--upper U [--work W]] [--foreground] MOUNTPOINT   standalone
//   bailey-fs SOURCE MOUNTPOINT -o lowerdir=A:B,upperdir=U,workdir=W,…               mount(8)
//   bailey-fs --counters MOUNTPOINT                                     what such a root counts
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "fs/machine_sources.h"

namespace bailey::fs {

struct Options {
  // Per tenant; -1: not given.
  int fuse_fd = -1, upper_fd = -1, work_fd = -1, counters_fd = -1, ready_fd = -1;
  std::vector<int> lower_fds;  // the topmost first
  bool confine = false;
  // Of the machine that the tenant sees (fs/machine_view.h), if it is to see one.
  int machine_fd = -1;
  std::vector<std::pair<MachineSource, int>> machine_sources;
  std::chrono::nanoseconds machine_start{0};  // CLOCK_BOOTTIME
  // Standalone.
  std::vector<std::string> lowers;
  std::string upper, work, mount_point;
  std::string source = "bailey-fs";
  bool has_source = false;
  unsigned long mount_flags = 0;  // MS_…
  bool foreground = false;
  bool remount = false;   // only the flags of the mount change
  bool counters = false;  // print what is counted at `mount_point`
  // Both.
  std::vector<std::string> hidden;
  unsigned readers = 4;  // threads
  bool help = false;

  bool is_tenants() const { return fuse_fd >= 0; }
  // Called as mount(8) calls its helpers, whose exit status it passes on.
  bool is_mounts() const { return has_source; }
};

extern const std::string_view kUsage;

// Without argv[0]. Errors tell what is wrong with which argument.
Result<Options> ParseOptions(const std::vector<std::string>& arguments);

}  // namespace bailey::fs
