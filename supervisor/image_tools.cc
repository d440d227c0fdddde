#include "supervisor/image_tools.h"

#include <algorithm>

#include "base/host_program.h"
#include "supervisor/host_tool.h"
#include "supervisor/loop_device.h"

namespace bailey::supervisor {
namespace {

constexpr const char* kPackage = "e2fsprogs";
constexpr uint64_t kMiB = uint64_t{1} << 20, kSmall = 512 * kMiB;
constexpr int kMended = 1;  // e2fsck(8): errors corrected

// Named one by one, so that the host's mke2fs.conf decides nothing.
constexpr const char* kFeatures =
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,"
    "large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

// The journal's blocks are the only ones that are allocated from the start: a commit never needs
// space that a full host does not have.
uint64_t JournalMiB(uint64_t bytes) { return std::clamp<uint64_t>(bytes / 256 / kMiB, 4, 64); }

}  // namespace

Status MakeExt4(const std::string& path, uint64_t bytes) {
  HostTool mke2fs{.argv = {"mke2fs", "-q", "-F", "-b", std::to_string(kImageBlock), "-I", "256",
                           "-m", "0", "-O", kFeatures},
                  .package = kPackage};
  for (const std::string& more :
       {std::string("-i"), std::to_string(bytes < kSmall ? 4096 : 16384), std::string("-J"),
        "size=" + std::to_string(JournalMiB(bytes)), std::string("-E"),
        std::string("lazy_itable_init=1,root_owner=0:0"), path})
    mke2fs.argv.push_back(more);
  return RunHostTool(mke2fs);
}

Status CheckExt4(const std::string& path, bool whole) {
  HostTool e2fsck{.argv = {"e2fsck", "-p", path}, .package = kPackage, .most = kMended};
  if (whole) e2fsck.argv.insert(e2fsck.argv.begin() + 1, "-f");
  Status checked = RunHostTool(e2fsck);
  if (checked || checked.error().Errno() == ENOENT) return checked;
  return checked.error().WithHint("look at it with the tenant stopped: e2fsck -f " + path);
}

Status GrowExt4(const std::string& path, uint64_t bytes) {
  BAILEY_TRY(CheckExt4(path, /*whole=*/true));  // resize2fs insists
  return RunHostTool(
      {.argv = {"resize2fs", path, std::to_string(bytes / 1024) + "k"}, .package = kPackage});
}

std::string MissingImageTools() {
  std::string missing;
  for (const char* name : {"mke2fs", "e2fsck", "resize2fs"})
    if (FindProgram(name).empty()) missing += (missing.empty() ? "" : " ") + std::string(name);
  return missing;
}

}  // namespace bailey::supervisor
