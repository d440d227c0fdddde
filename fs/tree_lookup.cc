// Tree: looking up, attributes, links and directories: what changes nothing.
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include "fs/tree.h"

namespace bailey::fs {

Tree::Tree(Options options)
    : layers_(std::move(options.layers)),
      work_(std::move(options.work)),
      projection_(std::move(options.projection)),
      own_counters_(options.counters == nullptr ? std::make_unique<CounterPage<FsCounter>>()
                                                : nullptr),
      counters_(options.counters == nullptr ? *own_counters_ : *options.counters),
      fds_(layers_, options.cached_directories),
      backings_(options.fuse_device),
      table_([this](Node& node) {
        fds_.Drop(node);
        backings_.Retire(node);
        if (!node.work_name.empty()) work_.Discard(node.work_name);
        counters_.Subtract(FsCounter::kNodes);
      }),
      locator_(layers_, fds_),
      resolver_(layers_, projection_, fds_, numbers_, links_, completion_),
      copy_up_({tree_lock_, layers_, table_, fds_, locator_, numbers_, work_, backings_, links_,
                completion_, counters_, on_succession_}) {}

Done Tree::Open() {
  Node& root = table_.root();
  root.in_upper = layers_.has_upper();
  for (LayerIndex layer = 1; layer <= layers_.last(); ++layer)
    root.directory->lowers.push_back(std::make_unique<LowerPart>(layer, ""));
  // The upper's device comes first, so that its numbers stay as they are; the root has its lowest
  // part's number.
  for (LayerIndex layer = layers_.has_upper() ? 0 : 1; layer <= layers_.last(); ++layer) {
    struct stat st {};
    if (::fstat(layers_.RootOf(layer), &st) != 0) return Refuse();
    root.number = numbers_.Map(st.st_dev, st.st_ino);
  }
  counters_.Add(FsCounter::kNodes);
  struct statfs upper {};
  if (layers_.has_upper() && ::fstatfs(layers_.RootOf(kUpperLayer), &upper) == 0)
    may_share_blocks_ = upper.f_type != EXT4_SUPER_MAGIC && upper.f_type != TMPFS_MAGIC;
  return links_.Open(layers_, work_.directory());
}

struct stat Tree::Shown(const Node& node, struct stat st) const {
  st.st_ino = node.number;
  // A merged directory's subdirectories are not counted: 1 says so to find(1) and its like, and it
  // does not change at copy-up.
  if (node.is_directory() && !node.directory->lowers.empty()) st.st_nlink = 1;
  if (!node.work_name.empty() || (node.gone && !node.in_upper)) st.st_nlink = 0;
  if (node.index_entry != nullptr)
    st.st_nlink = static_cast<nlink_t>(node.index_entry->LinksToShow(st));
  if (node.incomplete) st.st_blocks = node.data->blocks;
  if (node.settled != nullptr) {
    st.st_mode = node.settled->st.st_mode;
    st.st_atim = node.settled->st.st_atim;
    st.st_mtim = node.settled->st.st_mtim;
  }
  return st;
}

bool Tree::IsVolatile(Node& node, const struct stat& st) const {
  if (!S_ISREG(st.st_mode)) return false;
  // A stranger's write by passthrough takes setuid away behind the kernel's cache.
  return (st.st_mode & (S_ISUID | S_ISGID)) != 0 || node.mappable || node.successor != nullptr;
}

Node* Tree::NodeOf(Found& found, Node& parent, const std::string& name) {
  const bool is_directory = S_ISDIR(found.st.st_mode);
  uint64_t link_device = 0, link_number = 0;
  if (found.link) {
    link_device = Node::kLowerLinks | found.link->layer_from_bottom;
    link_number = found.link->number;
  } else if (found.in_upper && !is_directory && found.st.st_nlink > 1) {
    link_device = found.st.st_dev;
    link_number = found.st.st_ino;
  }
  if (link_number != 0) {
    Node* known = table_.LookUpLink(link_device, link_number, parent, name);
    if (known != nullptr) return known;
  }
  auto node = std::make_unique<Node>();
  node->type = found.st.st_mode & S_IFMT;
  node->number = found.number;
  node->in_upper = found.in_upper;
  node->layer = found.layer;
  node->has_origin = found.has_origin;
  node->incomplete = found.data != nullptr;
  node->data = std::move(found.data);
  node->at.parent = &parent;
  node->at.text = name;
  node->index_entry = found.index_entry;
  node->link_device = link_device;
  node->link_number = link_number;
  if (is_directory) {
    node->directory = std::make_unique<Directory>();
    node->directory->lowers = std::move(found.lowers);
    if (!node->directory->lowers.empty()) node->directory->path_below = std::move(found.path_below);
  }
  const Node* made = node.get();
  Node* inserted = table_.Insert(std::move(node));
  if (inserted == made) counters_.Add(FsCounter::kNodes);
  return inserted;
}

Answer<Entry> Tree::Known(Node& node) {
  const auto st = locator_.Stat(node.Current());
  if (!st) {
    table_.Forget(node, 1);
    return st.error();
  }
  return Entry{&node, Shown(node.Current(), *st)};
}

Answer<Entry> Tree::LookUp(Node& parent, const std::string& name) {
  const std::shared_lock lock(tree_lock_);
  if (projection_.Hides(parent, name)) return Refuse(ENOENT);
  if (Node* node = table_.LookUp(parent, name); node != nullptr) return Known(*node);
  if (parent.gone) return Refuse(ENOENT);
  auto found = resolver_.Resolve(parent, name);
  if (!found) return found.error();
  Node* node = NodeOf(*found, parent, name);
  return Entry{node, Shown(*node, found->st)};
}

Answer<Node*> Tree::PinChild(Node& parent, const std::string& name) {
  if (projection_.Hides(parent, name)) return Refuse(ENOENT);
  if (Node* node = table_.FindAndPin(parent, name); node != nullptr) return node;
  auto found = resolver_.Resolve(parent, name);
  if (!found) return found.error();
  // Counted as a lookup until it is pinned, so that nobody can drop it in between.
  Node* node = NodeOf(*found, parent, name);
  table_.Pin(*node);
  table_.Forget(*node, 1);
  return node;
}

Answer<struct stat> Tree::Stat(Node& node) {
  const std::shared_lock lock(tree_lock_);
  Node& current = node.Current();
  const auto st = locator_.Stat(current);
  if (!st) return st.error();
  return Shown(current, *st);
}

Answer<std::string> Tree::ReadLink(Node& node) {
  const std::shared_lock lock(tree_lock_);
  const auto place = locator_.Locate(node.Current());
  if (!place) return place.error();
  std::string target(PATH_MAX, '\0');
  const ssize_t size = ::readlinkat(place->directory, place->name, target.data(), target.size());
  if (size < 0) return Refuse();
  target.resize(static_cast<size_t>(size));
  return target;
}

Answer<DirectoryListing> Tree::List(Node& directory) {
  const std::shared_lock lock(tree_lock_);
  if (directory.gone) return Refuse(ENOENT);
  return DirectoryListing::Read(directory, {fds_, resolver_, numbers_, projection_});
}

Answer<struct statvfs> Tree::StatFs() {
  struct statvfs st {};
  if (::fstatvfs(layers_.RootOf(layers_.has_upper() ? kUpperLayer : 1), &st) != 0) return Refuse();
  return st;
}

}  // namespace bailey::fs
