// Hidden paths, as a template or a specification names them, and names looked up below them.
#include "fs/node.h"
#include "fs/projection.h"
#include "tests/fuzz/fuzz_input.h"

using bailey::FuzzInput;
using bailey::Require;
using bailey::fs::Node;
using bailey::fs::Projection;

namespace {

// The root and a chain of directories below it.
std::vector<std::unique_ptr<Node>> Chain(const std::vector<std::string>& names) {
  std::vector<std::unique_ptr<Node>> nodes;
  nodes.push_back(std::make_unique<Node>());
  for (const std::string& name : names) {
    auto node = std::make_unique<Node>();
    node->at.parent = nodes.back().get();
    node->at.text = name;
    nodes.push_back(std::move(node));
  }
  return nodes;
}

std::string Without(const std::string& path) {
  return path.starts_with('/') ? path.substr(1) : path;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  std::vector<std::string> hidden, names;
  for (size_t count = input.Below(5); count > 0; --count) hidden.push_back(input.Text());
  for (size_t count = input.Below(5); count > 0; --count) names.push_back(input.Text());
  const std::string name = input.Text();
  const auto projection = Projection::Make(hidden);
  if (!projection) return 0;
  const auto chain = Chain(names);
  std::string path;
  for (const std::string& part : names) path += part + "/";
  path += name;
  const bool hides = projection->Hides(*chain.back(), name);
  const bool is_listed = std::any_of(hidden.begin(), hidden.end(),
                                     [&](const std::string& one) { return Without(one) == path; });
  // Names have no slash: the kernel sends none.
  if (path.find('/') == std::string::npos || std::none_of(names.begin(), names.end(), [](auto& n) {
        return n.empty() || n.find('/') != std::string::npos;
      }))
    if (name.find('/') == std::string::npos) Require(hides == is_listed, "hides what was listed");
  Require(projection->HidesLower(path) == is_listed, "hides in the lowers what was listed");
  if (hides) Require(projection->HidesName(name), "the quick test misses nothing");
  (void)projection->HidesBelow(*chain.back(), name);
  return 0;
}
