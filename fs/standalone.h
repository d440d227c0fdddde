// What the supervisor does for a tenant's server, done by the server for itself when it runs alone:
// opening the layers, and the mount.
#pragma once

#include <string>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"
#include "fs/layer_set.h"
#include "fs/options.h"

namespace bailey::fs {

struct OpenedLayers {
  std::vector<UniqueFd> lowers;
  UniqueFd upper, work;
};

// The lowers as read-only clones of their mounts: even a passthrough open could not write there.
// As overlayfs does it, mounts below a lower are not shown. Makes the work directory.
Result<OpenedLayers> OpenLayers(const Options& options);

// A mount of /dev/fuse that is taken away again unless somebody serves it.
class FuseMount {
 public:
  static Result<FuseMount> Make(const Options& options);
  FuseMount(FuseMount&& other) noexcept
      : point_(std::exchange(other.point_, {})), device_(std::move(other.device_)) {}
  FuseMount& operator=(FuseMount&&) = delete;
  ~FuseMount();

  UniqueFd TakeDevice() { return std::move(device_); }
  void Keep() { point_.clear(); }

 private:
  explicit FuseMount(std::string point) : point_(std::move(point)) {}
  std::string point_;
  UniqueFd device_;
};

// Changes the flags of the mount that is there.
Status Remount(const Options& options);

}  // namespace bailey::fs
