// LayerSet: the directories that a root is made of. Layer 0 is the upper, where everything is
// written; 1…count are the lowers, the topmost first. Owns their descriptors. Immutable.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "fs/answer.h"

namespace bailey::fs {

using LayerIndex = uint16_t;
inline constexpr LayerIndex kUpperLayer = 0;

class LayerSet {
 public:
  // `upper` may be empty: a root that nobody can write to.
  LayerSet(UniqueFd upper, std::vector<UniqueFd> lowers);

  bool has_upper() const { return static_cast<bool>(upper_); }
  LayerIndex last() const { return static_cast<LayerIndex>(lowers_.size()); }
  int RootOf(LayerIndex layer) const {
    return layer == kUpperLayer ? upper_.get() : lowers_[layer - 1U].get();
  }
  // Whether the file at `name` of `directory` (`flags` as in statx(2)), which the layer shows, lies
  // in a mount below the layer's root: a directory of the living host that is bound into it. Such
  // files change, and their numbers come to be others'.
  bool IsBound(LayerIndex layer, int directory, const char* name, int flags) const;

 private:
  UniqueFd upper_;
  std::vector<UniqueFd> lowers_;
  std::vector<uint64_t> mounts_;  // of the roots, by layer
};

// Opens the directory `path` ("" for `root` itself) below `root` without following any symlink.
// Mounts below are crossed: a layer may have host directories bound into it.
Answer<UniqueFd> OpenDirectoryBeneath(int root, const std::string& path);

// overlayfs' format, Documentation/filesystems/overlayfs.rst.
inline bool IsWhiteout(const struct stat& st) { return S_ISCHR(st.st_mode) && st.st_rdev == 0; }
inline constexpr char kOverlayPrefix[] = "trusted.overlay.";
inline constexpr char kOpaqueMark[] = "trusted.overlay.opaque";  // "y": hides the layers below
inline constexpr char kRedirectMark[] =
    "trusted.overlay.redirect";  // where the layers below have it
inline constexpr char kImpureMark[] =
    "trusted.overlay.impure";  // "y": has entries with another number
inline constexpr char kMetacopyMark[] = "trusted.overlay.metacopy";  // the data lie further down
// Ours: the st_ino (decimal) that a file had before it was copied up. The kernel's own record, a
// file handle in trusted.overlay.origin, could only be read by open_by_handle_at.
inline constexpr char kOriginMark[] = "trusted.bailey.ino";
// Ours: what the attributes of a file are to be while its data are copied into it (completion.h).
inline constexpr char kCompletionMark[] = "trusted.bailey.completing";
// Ours: "y" as above. The kernel takes its own away where it finds no entries of its own kind.
inline constexpr char kOwnImpureMark[] = "trusted.bailey.impure";
// Ours: how many links to show for one of a lower's hard links (link_index.h).
inline constexpr char kLinkMark[] = "trusted.bailey.links";
inline constexpr char kOwnPrefix[] = "trusted.bailey.";

// The value of an attribute of an open file; empty when there is none.
std::string AttributeOf(int fd, const char* name);

}  // namespace bailey::fs
