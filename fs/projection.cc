#include "fs/projection.h"

namespace bailey::fs {
namespace {

std::string PathOf(const Node& parent, std::string_view name) {
  std::string path(name);
  for (const Node* node = &parent; node->at.parent != nullptr; node = node->at.parent)
    path.insert(0, node->at.text + "/");
  return path;
}

bool IsPlain(std::string_view component) {
  return !component.empty() && component != "." && component != "..";
}

}  // namespace

Result<Projection> Projection::Make(const std::vector<std::string>& hidden) {
  Projection projection;
  for (const std::string& path : hidden) {
    const auto refuse = [&] {
      return Invalid("hide " + path + ": not a path of plain names",
                     "write it like /etc/ssl/private");
    };
    const std::string relative = path.starts_with('/') ? path.substr(1) : path;
    size_t start = 0;
    for (size_t end = relative.find('/');; end = relative.find('/', start)) {
      if (!IsPlain(std::string_view(relative).substr(start, end - start))) return refuse();
      if (end == std::string::npos) break;
      start = end + 1;
    }
    projection.last_components_.insert(relative.substr(start));
    projection.paths_.insert(relative);
  }
  return projection;
}

bool Projection::HidesPath(const Node& parent, std::string_view name) const {
  return paths_.contains(PathOf(parent, name));
}

bool Projection::HidesBelow(const Node& parent, std::string_view name) const {
  if (paths_.empty()) return false;
  const std::string prefix = PathOf(parent, name) + "/";
  const auto path = paths_.lower_bound(prefix);
  return path != paths_.end() && path->starts_with(prefix);
}

}  // namespace bailey::fs
