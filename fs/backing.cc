#include "fs/backing.h"

#include <sys/ioctl.h>

#include "fs/fuse_protocol.h"

namespace bailey::fs {
namespace {

// Each pins a file in the kernel, about a kilobyte, until the kernel forgets the node, as it does
// under memory pressure. As many as a source tree or a large program's directories have: whoever
// reads a few more files than there are ids in turn finds none of them.
constexpr size_t kMaxIdle = 8192;

}  // namespace

void Backings::CloseId(int32_t id) {
  if (device_ < 0) return;
  auto number = static_cast<uint32_t>(id);
  (void)::ioctl(device_, protocol::kBackingClose, &number);
}

int32_t Backings::TakeIdle(Node& node) {
  idle_.erase(node.backing.idle_place);
  node.backing.idle = false;
  return std::exchange(node.backing.id, 0);
}

int32_t Backings::Reuse(Node& node) {
  const std::lock_guard lock(mutex_);
  Backing& backing = node.backing;
  if (backing.id == 0) return 0;
  if (backing.idle) {
    idle_.erase(backing.idle_place);
    backing.idle = false;
  }
  ++backing.opens;
  return backing.id;
}

int32_t Backings::Register(Node& node, int file) {
  protocol::BackingMap map{file, 0, 0};
  const int id = ::ioctl(device_, protocol::kBackingOpen, &map);
  if (id <= 0) {
    node.no_passthrough = true;
    return 0;
  }
  {
    const std::lock_guard lock(mutex_);
    if (node.backing.id == 0) {
      node.backing.id = id;
      node.backing.opens = 1;
      return id;
    }
  }
  CloseId(id);  // somebody was quicker
  return Reuse(node);
}

void Backings::Close(Node& node) {
  int32_t closing = 0;
  {
    const std::lock_guard lock(mutex_);
    Backing& backing = node.backing;
    if (backing.opens == 0 || --backing.opens != 0) return;
    if (node.gone || node.successor != nullptr) {
      closing = std::exchange(backing.id, 0);
    } else {
      if (idle_.size() >= kMaxIdle) closing = TakeIdle(*idle_.back());
      idle_.push_front(&node);
      backing.idle_place = idle_.begin();
      backing.idle = true;
    }
  }
  if (closing != 0) CloseId(closing);
}

bool Backings::InUse(const Node& node) {
  const std::lock_guard lock(mutex_);
  return node.backing.opens != 0;
}

void Backings::Retire(Node& node) {
  int32_t closing = 0;
  {
    const std::lock_guard lock(mutex_);
    if (node.backing.idle) closing = TakeIdle(node);
  }
  if (closing != 0) CloseId(closing);
}

}  // namespace bailey::fs
