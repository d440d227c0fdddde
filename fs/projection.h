// Projection: paths that do not exist for the tenant, whatever the layers hold there. Pure.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "fs/node.h"

namespace bailey::fs {

class Projection {
 public:
  // Paths from the root (a leading slash is optional) without ".", ".." or empty components.
  static Result<Projection> Make(const std::vector<std::string>& hidden);

  // The name below `parent` does not exist. The tree lock is held, shared at least.
  bool Hides(const Node& parent, std::string_view name) const {
    return !last_components_.empty() && last_components_.contains(name) && HidesPath(parent, name);
  }
  // Some hidden path ends in this name: a quick test before the exact one.
  bool HidesName(std::string_view name) const { return last_components_.contains(name); }
  // The same for a path within a lower layer. Directories move, lower paths never do.
  bool HidesLower(std::string_view path) const { return paths_.contains(path); }
  // A hidden path lies below a name.
  bool HidesBelow(const Node& parent, std::string_view name) const;

 private:
  bool HidesPath(const Node& parent, std::string_view name) const;

  std::set<std::string, std::less<>> paths_;  // without the leading slash
  std::set<std::string, std::less<>> last_components_;
};

}  // namespace bailey::fs
