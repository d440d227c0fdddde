#include "supervisor/layer_tree.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include "base/files.h"
#include "supervisor/mount_tree.h"
#include "supervisor/open_in_child.h"

namespace bailey::supervisor {
namespace {

constexpr uint64_t kReadOnly = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

// Mounts the binds onto the layer. This takes a mount namespace to do it in; the recursive clone
// made at the end is independent of it and keeps the binds in place.
Result<UniqueFd> AssembleInOwnNamespace(const LowerLayer& layer) {
  if (::unshare(CLONE_NEWNS) != 0) return Errno("unshare mount namespace");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return Errno("make mounts private");
  auto base = CloneMount(AT_FDCWD, layer.path);
  if (!base) return base.error();
  const auto at = OpenPath(layer.path, O_PATH | O_DIRECTORY);
  if (!at) return at.error();
  BAILEY_TRY(AttachMount(base->get(), at->get()));
  for (const auto& [inside, host] : layer.binds) {
    const auto source = CloneMount(AT_FDCWD, host);
    if (!source) return source.error();
    const auto target = OpenBeneathNoSymlinks(base->get(), inside, O_PATH);
    if (!target) return target.error();
    BAILEY_TRY(AttachMount(source->get(), target->get()));
  }
  return CloneMount(base->get(), "", /*recursive=*/true);
}

Result<UniqueFd> OpenLower(const LowerLayer& layer) {
  auto tree = layer.binds.empty() ? CloneMount(AT_FDCWD, layer.path)
                                  : OpenInChild([&] { return AssembleInOwnNamespace(layer); });
  if (!tree) return tree.error();
  BAILEY_TRY(AddMountAttributes(tree->get(), kReadOnly, /*recursive=*/true));
  return tree;
}

}  // namespace

Result<std::vector<UniqueFd>> OpenLowers(const Layers& layers) {
  std::vector<UniqueFd> lowers;
  for (const LowerLayer& layer : layers.lowers) {
    auto tree = OpenLower(layer);
    if (!tree)
      return tree.error().Within("layer " + layer.path).WithHint("see `bailey template ls`");
    lowers.push_back(std::move(*tree));
  }
  return lowers;
}

}  // namespace bailey::supervisor
