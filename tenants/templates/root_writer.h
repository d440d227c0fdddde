// RootWriter: making directories, files and links below a root that may be hostile.
//
// Every path is relative to the root and is walked without following any symlink: what an archive
// planted cannot lead a write anywhere else. Not thread-safe; keeps the caller's descriptor only.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey::tenants {

class RootWriter {
 public:
  explicit RootWriter(int root) : root_(root) {}

  // mkdir -p; the last component gets `mode` whether or not it was there. Whatever is in the way
  // and no directory (a file, a symlink) is removed first.
  Status Directory(const std::string& path, mode_t mode) const;
  // Replaces what is there. Missing parents are made with mode 0755.
  Status File(const std::string& path, std::string_view text, mode_t mode) const;
  Status Symlink(const std::string& target, const std::string& path) const;
  // Copies the bytes of `source` (at its offset) and syncs nothing.
  Status CopyFrom(int source, const std::string& path, mode_t mode) const;
  // Removes what is there, tree or file. A missing path is success.
  Status Remove(const std::string& path) const;
  // Whether `path` is there, without following its last component.
  bool Has(const std::string& path) const;

 private:
  struct Place {
    UniqueFd parent;
    std::string name;
  };
  Result<Place> PlaceOf(const std::string& path) const;
  Result<UniqueFd> NewFile(const std::string& path, mode_t mode) const;
  Status RemoveAt(const Place& place) const;

  int root_;
};

// The directories that every root has, for what is mounted and written there at run time.
Status WriteSkeleton(const RootWriter& root);
// The text of /etc/rc, which process.start runs by default: see docs/DESIGN.md, "Templates".
extern const std::string_view kServiceRc;  // starts what packages have put into /etc/rc2.d
extern const std::string_view kEmptyRc;    // starts nothing
// The text of policy-rc.d(8) by which Debian's packages start what they install.
extern const std::string_view kServicePolicy;
// /etc/rc for a distribution's root and, if that is Debian's and has no policy of its own, one.
Status WriteServiceStart(const RootWriter& root);

}  // namespace bailey::tenants
