// Layers made from a fuzz input, on a tmpfs of the process's own, and what must not change whatever
// they hold: a directory outside, and the lower layers themselves.
#pragma once

#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "fs/standalone.h"
#include "tests/fuzz/fuzz_input.h"

namespace bailey {

// Before the first input, while the process has one thread: a mount namespace of its own.
void EnterLayerWorld();

class LayerWorld {
 public:
  // Makes entries in lower1 (topmost), lower2, the upper and the index of hard links as the input
  // says: kinds, names, contents, overlayfs' marks and ours, well-formed ones and others.
  explicit LayerWorld(FuzzInput& input);
  // Checks that nothing outside and no lower has changed, and takes everything away.
  ~LayerWorld();
  LayerWorld(const LayerWorld&) = delete;
  LayerWorld& operator=(const LayerWorld&) = delete;

  fs::OpenedLayers Open() const;
  // The file outside, which nothing in the layers may lead to.
  bool IsOutside(const struct stat& st) const;

  // One of a few short names, or any text without a slash; never empty, "." or "..".
  static std::string Name(FuzzInput& input);

 private:
  void MakeEntry(FuzzInput& input, const std::string& layer);
  void MakeIndexEntry(FuzzInput& input);
  void Mark(FuzzInput& input, const std::string& path);
  std::string Snapshot() const;

  std::string before_;
};

}  // namespace bailey
