// What is on disk: whiteouts, redirect, metacopy, opaque and number marks, links and names, in the
// lowers and the upper; then operations on the tree above them.
#include <fcntl.h>

#include <algorithm>

#include "fs/tree.h"
#include "tests/fuzz/layer_world.h"

using bailey::FuzzInput;
using bailey::LayerWorld;
using bailey::Require;
using namespace bailey::fs;  // NOLINT(google-build-using-namespace): the tree is meant

namespace {

// The part of the kernel: it knows nodes by lookups, and gives them back.
class Driver {
 public:
  Driver(Tree& tree, const LayerWorld& world, FuzzInput& input)
      : tree_(tree), world_(world), input_(input), nodes_{&tree.root()} {}
  ~Driver() {
    for (Node* node : taken_) tree_.Forget(*node, 1);
  }
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  void Step() {
    switch (input_.Below(13)) {
      case 0:
      case 1:
      case 2:
        return Keep(tree_.LookUp(Directory(), Name()));
      case 3:
        return List(Directory());
      case 4:
        return Stat(Any());
      case 5:
        return Open(Any());
      case 6:
        return Change(Any());
      case 7:
        return Make();
      case 8:
        return (void)tree_.Unlink(Directory(), Name());
      case 9:
        return (void)tree_.RemoveDirectory(Directory(), Name());
      case 10:
        return Rename();
      case 11:
        return Link();
      default:
        return Attributes(Any());
    }
  }

 private:
  std::string Name() { return LayerWorld::Name(input_); }
  Node& Any() { return *nodes_[input_.Below(nodes_.size())]; }
  Node& Directory() {
    Node& node = Any();
    // The kernel lets nobody do anything in a directory that was removed.
    return node.is_directory() && !node.gone ? node : tree_.root();
  }
  // `inner` is the entry, or lies below it: the kernel refuses such renames by itself.
  bool IsWithin(const Node& inner, Node& parent, const std::string& name) {
    const auto entry = tree_.LookUp(parent, name);
    if (!entry) return false;
    bool within = false;
    for (const Node* node = &inner; node != nullptr; node = node->at.parent)
      within = within || node == entry->node;
    tree_.Forget(*entry->node, 1);
    return within;
  }

  // The kernel makes and links only what a lookup did not find.
  bool IsFree(Node& parent, const std::string& name) {
    const auto entry = tree_.LookUp(parent, name);
    if (entry) tree_.Forget(*entry->node, 1);
    return !entry && entry.error().number == ENOENT;
  }

  void Keep(const Answer<Entry>& entry) {
    if (!entry) return;
    Require(!world_.IsOutside(entry->st), "no name leads outside");
    taken_.push_back(entry->node);
    if (std::find(nodes_.begin(), nodes_.end(), entry->node) == nodes_.end())
      nodes_.push_back(entry->node);
  }

  void List(Node& directory) {
    const auto listing = tree_.List(directory);
    if (!listing) return;
    for (size_t i = 2; i < listing->size(); ++i) {
      const auto item = (*listing)[i];
      Require(!item.name.empty() && item.name.find('/') == std::string_view::npos, "a name");
      // What is listed is there, or refused as damaged; and it is of the kind that was listed.
      const auto entry = tree_.LookUp(directory, std::string(item.name));
      Require(entry || entry.error().number != ENOENT, "what is listed is there");
      if (!entry) continue;
      Require((entry->st.st_mode & S_IFMT) == item.type, "the kind that was listed");
      Require(!IsWhiteout(entry->st), "no whiteout shows");
      tree_.Forget(*entry->node, 1);
    }
  }

  void Stat(Node& node) {
    if (const auto st = tree_.Stat(node)) Require(!world_.IsOutside(*st), "nothing outside");
    if (S_ISLNK(node.type)) (void)tree_.ReadLink(node);
  }

  void Open(Node& node) {
    if (!S_ISREG(node.type)) return;
    static constexpr int kFlags[] = {O_RDONLY, O_RDWR, O_WRONLY, O_RDWR | O_TRUNC,
                                     O_WRONLY | O_APPEND};
    auto file = tree_.OpenNode(node, kFlags[input_.Below(std::size(kFlags))]);
    if (!file) return;
    struct stat st {};
    if (file->file && ::fstat(file->file.get(), &st) == 0) {
      Require(!world_.IsOutside(st), "nothing outside is opened");
      Require(S_ISREG(st.st_mode), "a regular file");
      char bytes[64];
      (void)!::pread(file->file.get(), bytes, sizeof bytes, 0);
      (void)!::pwrite(file->file.get(), "written", 7, 0);
    }
    tree_.Close(node);
  }

  void Change(Node& node) {
    bailey::fs::Attributes change;
    change.valid = static_cast<unsigned>(input_.Below(32));
    if (!S_ISREG(node.type)) change.valid &= ~bailey::fs::Attributes::kSize;
    if (S_ISLNK(node.type)) change.valid &= ~bailey::fs::Attributes::kMode;  // the kernel refuses
    change.mode = static_cast<mode_t>(input_.Number(2));
    change.size = static_cast<off_t>(input_.Number(2));
    change.uid = input_.Byte();
    (void)tree_.SetAttributes(node, change, -1);
  }

  void Make() {
    static constexpr mode_t kModes[] = {S_IFREG | 0644, S_IFDIR | 0755, S_IFLNK | 0777,
                                        S_IFIFO | 0644, S_IFSOCK | 0644};
    NewcomerSpec spec;
    spec.mode = kModes[input_.Below(std::size(kModes))];
    spec.target = S_ISLNK(spec.mode) ? "../outside/f" : "";
    Node& parent = Directory();
    const std::string name = Name();
    if (IsFree(parent, name)) Keep(tree_.Make(parent, name, spec, Caller{}));
  }

  void Rename() {
    Node& from = Directory();
    Node& to = Directory();
    static constexpr unsigned kFlags[] = {0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
    const std::string old_name = Name();
    const std::string new_name = Name();
    if (IsWithin(to, from, old_name) || IsWithin(from, to, new_name)) return;
    (void)tree_.Rename(from, old_name, to, new_name, kFlags[input_.Below(std::size(kFlags))]);
  }

  void Link() {
    Node& node = Any();
    if (node.is_directory()) return;
    Node& parent = Directory();
    const std::string name = Name();
    if (IsFree(parent, name)) Keep(tree_.Link(node, parent, name));
  }

  void Attributes(Node& node) {
    static constexpr const char* kNames[] = {"user.x", "trusted.overlay.opaque",
                                             "trusted.overlay.redirect", "security.capability"};
    const char* name = kNames[input_.Below(std::size(kNames))];
    const bool trusted = std::string_view(name).starts_with("trusted.");
    const auto value = tree_.GetAttribute(node, name);
    Require(!trusted || !value, "no mark shows");
    const auto list = tree_.ListAttributes(node);
    Require(!list || list->find("trusted.") == std::string::npos, "nor is one listed");
    const Done set = tree_.SetAttribute(node, name, "y", 0, false);
    Require(!trusted || !set, "none can be set");
    (void)tree_.RemoveAttribute(node, name);
  }

  Tree& tree_;
  const LayerWorld& world_;
  FuzzInput& input_;
  std::vector<Node*> nodes_;  // each once
  std::vector<Node*> taken_;  // one for each lookup
};

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  bailey::EnterLayerWorld();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  const LayerWorld world(input);
  OpenedLayers layers = world.Open();
  auto work = WorkArea::Open(std::move(layers.work));
  Require(work.has_value(), "the work area is opened");
  std::vector<std::string> hidden;
  if (input.Below(3) == 0) hidden.emplace_back("/a/b");
  Tree tree({LayerSet(std::move(layers.upper), std::move(layers.lowers)), std::move(*work),
             *Projection::Make(hidden), -1, 16, nullptr});
  if (!tree.Open()) return 0;
  Driver driver(tree, world, input);
  for (int steps = 0; steps < 40 && !input.empty(); ++steps) driver.Step();
  return 0;
}
