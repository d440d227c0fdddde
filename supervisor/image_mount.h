// ImageMount: a disk image's file system, mounted where nobody can see it: the mount is a
// descriptor and attached nowhere, so that no mount table of the host shows it, and it is gone with
// the last descriptor of anything in it. ext4(5).
#pragma once

#include <cstdint>

#include "base/result.h"
#include "base/unique_fd.h"
#include "supervisor/disk_image.h"
#include "supervisor/loop_device.h"

namespace bailey::supervisor {

struct ImageMount {
  LoopDevice loop;
  UniqueFd root;
};

// nosuid, nodev, noexec (a tenant executes through FUSE alone); freed blocks become holes of the
// image; an error of the file system makes it read-only. EUCLEAN unless it is clean.
Result<ImageMount> MountImage(const DiskImage& image);

// Makes image and file system `bytes` large while mounted; no less than they are. `any` is a
// descriptor of anything in it. The image is a block longer than wanted until its file system has
// grown: whoever finds it so knows that a growth was cut short, and calls this again. EPERM without
// CAP_SYS_RESOURCE, which ext4 asks for: then everything is as it was.
Status GrowMounted(const DiskImage& image, const LoopDevice& loop, int any, uint64_t bytes);

}  // namespace bailey::supervisor
