// HandleSet: owns what the kernel refers to by fuse_file_info::fh. The end of a connection may come
// without the RELEASE of what was open: the set frees what is left. Thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <unordered_map>

namespace bailey::fs {

template <class Handle>
class HandleSet {
 public:
  // The number for `fh`; never 0.
  uint64_t Add(std::unique_ptr<Handle> handle) {
    Handle* added = handle.get();
    const std::lock_guard lock(mutex_);
    handles_.emplace(added, std::move(handle));
    return reinterpret_cast<uint64_t>(added);
  }
  // 0: nothing happens.
  void Remove(uint64_t number) {
    if (number == 0) return;
    std::unique_ptr<Handle> removed;  // destroyed without the lock
    const std::lock_guard lock(mutex_);
    const auto at = handles_.find(Of(number));
    if (at == handles_.end()) return;
    removed = std::move(at->second);
    handles_.erase(at);
  }
  // nullptr for 0.
  static Handle* Of(uint64_t number) {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): `fh` is a number
    return reinterpret_cast<Handle*>(number);
  }

 private:
  std::mutex mutex_;  // leaf
  std::unordered_map<Handle*, std::unique_ptr<Handle>> handles_;
};

}  // namespace bailey::fs
