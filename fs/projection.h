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
  // Absolute paths without ".", ".." or empty components.
  static Result<Projection> Make(const std::vector<std::string>& hidden);

  // The name below `parent` does not exist. The tree lock is held, shared at least.
  bool Hides(const Node& parent, std::string_view name) const {
    return !last_components_.empty() && last_components_.contains(name) && HidesPath(parent, name);
  }
  // A hidden path lies below: moving this directory would bring it to light under another path.
  bool HoldsHidden(const Node& parent, std::string_view name) const;

 private:
  bool HidesPath(const Node& parent, std::string_view name) const;

  std::set<std::string, std::less<>> paths_;      // without the leading slash
  std::set<std::string, std::less<>> ancestors_;  // of all of them
  std::set<std::string, std::less<>> last_components_;
};

}  // namespace bailey::fs
