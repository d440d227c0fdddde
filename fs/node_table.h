// NodeTable: the nodes that the kernel knows, by parent and name, and counts who needs them.
// A node lives while the kernel has looked it up, a node below refers to it or an operation has
// pinned it. Thread-safe by a mutex of its own, which is never held across a system call.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fs/node.h"

namespace bailey::fs {

class NodeTable {
 public:
  // Called for each node about to be destroyed, without our mutex held; the tree lock may be.
  using Disposer = std::function<void(Node&)>;
  explicit NodeTable(Disposer disposer);
  ~NodeTable();

  Node& root() { return *root_; }

  // The node at a name, counted as one more lookup of the kernel; nullptr if it is not known.
  Node* LookUp(Node& parent, std::string_view name);
  // The same without counting: pinned until Unpin.
  Node* FindAndPin(Node& parent, std::string_view name);
  // The node of a file with several names in the upper, counted; it gets this further name.
  Node* LookUpLink(uint64_t device, uint64_t number, Node& parent, std::string_view name);
  // Puts a new node at its name and counts a lookup, or counts one of the node that is there by
  // now.
  Node* Insert(std::unique_ptr<Node> node);
  void CountLookup(Node& node);
  void Forget(Node& node, uint64_t lookups);

  void Pin(Node& node);
  // The parent of a node, pinned. For callers without the tree lock.
  Node* PinParent(Node& node);
  void Unpin(Node& node);

  // All below: the tree lock is held exclusively.
  void MarkLinked(Node& node, dev_t device, ino_t number);
  // Its inode number on disk may be another file's soon.
  void Unlink(Node& node);
  void AddName(Node& node, Node& parent, std::string_view name);
  // Takes a name away; false when it was the last one, and the node is gone. `has_others`: it has
  // names that nobody has looked up.
  bool RemoveName(Node& node, Node& parent, std::string_view name, bool has_others = false);
  void MoveName(Node& node, Node& from, std::string_view old_name, Node& to,
                std::string_view new_name);
  // Both names are known.
  void SwapNames(Node& a_parent, std::string_view a_name, Node& b_parent, std::string_view b_name);
  // `successor` takes all names of `node`.
  void Succeed(Node& node, std::unique_ptr<Node> successor);

  size_t size() const;

 private:
  struct NameKey {
    const Node* parent;
    std::string_view text;
  };
  struct NameHash {
    using is_transparent = void;
    size_t operator()(const NameKey& key) const;
    size_t operator()(const Name* name) const { return (*this)({name->parent, name->text}); }
  };
  struct NameEqual {
    using is_transparent = void;
    static NameKey KeyOf(const NameKey& key) { return key; }
    static NameKey KeyOf(const Name* name) { return {name->parent, name->text}; }
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      const NameKey x = KeyOf(a), y = KeyOf(b);
      return x.parent == y.parent && x.text == y.text;
    }
  };
  struct LinkHash {
    size_t operator()(const std::pair<uint64_t, uint64_t>& key) const;
  };
  using Nodes = std::vector<std::unique_ptr<Node>>;

  Node* Find(const Node& parent, std::string_view name) const;
  Node* FindLink(uint64_t device, uint64_t number) const;
  void Attach(Node& node, Name& name, Node& parent, std::string_view text);
  void Detach(Name& name, Nodes* dead);
  void EraseLink(Node& node);
  // True when so many nodes have gone since there were most that memory should be given back.
  bool ShrinkIfEmptied();
  void Collect(Node& node, Nodes* dead);
  void Dispose(const Nodes& dead);

  const Disposer disposer_;
  mutable std::mutex mutex_;  // leaf
  std::unordered_set<Name*, NameHash, NameEqual> names_;
  std::unordered_map<std::pair<uint64_t, uint64_t>, Node*, LinkHash> links_;
  std::unordered_set<Node*> nodes_;  // owner of all but the root
  std::unique_ptr<Node> root_;
  size_t most_ = 0;  // nodes, since memory was last given back
};

// Holds a pin for a scope.
class PinnedNode {
 public:
  PinnedNode(NodeTable& table, Node* pinned) : table_(&table), node_(pinned) {}
  PinnedNode(const PinnedNode&) = delete;
  PinnedNode& operator=(const PinnedNode&) = delete;
  ~PinnedNode() {
    if (node_ != nullptr) table_->Unpin(*node_);
  }
  Node* get() const { return node_; }
  Node& operator*() const { return *node_; }
  Node* operator->() const { return node_; }
  explicit operator bool() const { return node_ != nullptr; }

 private:
  NodeTable* table_;
  Node* node_;
};

}  // namespace bailey::fs
