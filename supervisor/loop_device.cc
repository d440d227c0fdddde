#include "supervisor/loop_device.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/file.h>
#include <sys/ioctl.h>

#include "base/files.h"

namespace bailey::supervisor {
namespace {

constexpr int kMostTries = 64;

// EBUSY: another was quicker with this number.
Status Configure(int device, int file) {
  loop_config config{};
  config.fd = static_cast<uint32_t>(file);
  config.block_size = kImageBlock;
  config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
  if (::ioctl(device, LOOP_CONFIGURE, &config) != 0) return Errno("LOOP_CONFIGURE");
  return {};
}

bool UsesDirectIo(int device) {
  loop_info64 info{};
  return ::ioctl(device, LOOP_GET_STATUS64, &info) == 0 && (info.lo_flags & LO_FLAGS_DIRECT_IO);
}

}  // namespace

Result<LoopDevice> AttachLoop(int file) {
  const auto control = OpenPath("/dev/loop-control", O_RDWR);
  if (!control) return control.error().WithHint("modprobe loop");
  for (int tries = 0; tries < kMostTries; ++tries) {
    const int number = ::ioctl(control->get(), LOOP_CTL_GET_FREE);
    if (number < 0) return Errno("find a free loop device");
    LoopDevice loop;
    loop.path = "/dev/loop" + std::to_string(number);
    auto device = OpenPath(loop.path, O_RDWR);
    if (!device) return device.error();
    // Keeps udev from probing what is the tenant's bytes (systemd.io/BLOCK_DEVICE_LOCKING).
    if (::flock(device->get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return Errno("lock " + loop.path);
      continue;
    }
    const Status configured = Configure(device->get(), file);
    if (configured) {
      loop.fd = std::move(*device);
      loop.direct_io = UsesDirectIo(loop.fd.get());
      return loop;
    }
    if (configured.error().Errno() != EBUSY) return configured.error().Within(loop.path);
  }
  return Errno("find a free loop device", EBUSY);
}

Status FollowFileSize(const LoopDevice& loop) {
  if (::ioctl(loop.fd.get(), LOOP_SET_CAPACITY) != 0)
    return Errno("LOOP_SET_CAPACITY of " + loop.path);
  return {};
}

}  // namespace bailey::supervisor
