// The command line of bailey-fs. Pure.
//   bailey-fs --fuse-fd N --lower-fd N… [--upper-fd N --work-fd N] --ready-fd N …   per tenant
//   bailey-fs --lower A --lower B [--upper U [--work W]] [--foreground] MOUNTPOINT   standalone
//   bailey-fs SOURCE MOUNTPOINT -o lowerdir=A:B,upperdir=U,workdir=W,…               mount(8)
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace bailey::fs {

struct Options {
  // Per tenant; -1: not given.
  int fuse_fd = -1, upper_fd = -1, work_fd = -1, counters_fd = -1, ready_fd = -1;
  std::vector<int> lower_fds;  // the topmost first
  bool confine = false;
  // Standalone.
  std::vector<std::string> lowers;
  std::string upper, work, mount_point;
  std::string source = "bailey-fs";
  unsigned long mount_flags = 0;  // MS_…
  bool foreground = false;
  // Both.
  std::vector<std::string> hidden;
  unsigned readers = 4;  // threads
  bool help = false;

  bool is_tenants() const { return fuse_fd >= 0; }
};

extern const std::string_view kUsage;

// Without argv[0]. Errors tell what is wrong with which argument.
Result<Options> ParseOptions(const std::vector<std::string>& arguments);

}  // namespace bailey::fs
