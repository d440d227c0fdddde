// Being in another network namespace for a moment, and living in an empty root for good.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey {

// The calling thread is in `target`'s network namespace until destruction; sockets opened
// meanwhile stay there. Never yield to other code of the thread while alive. Aborts if it cannot
// return: going on in the wrong namespace would be a hole in the wall.
class [[nodiscard]] NetnsScope {
 public:
  static Result<NetnsScope> Enter(int target);
  NetnsScope(NetnsScope&&) = default;
  NetnsScope& operator=(NetnsScope&&) = delete;
  ~NetnsScope();

 private:
  explicit NetnsScope(UniqueFd home) : home_(std::move(home)) {}
  UniqueFd home_;
};

// Puts the calling process into a new mount namespace whose root is an empty read-only tmpfs.
// Descriptors that are open keep working; no path leads anywhere any more. Needs CAP_SYS_ADMIN.
Status EnterEmptyRoot();

}  // namespace bailey
