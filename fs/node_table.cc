#include "fs/node_table.h"

#include <malloc.h>

#include <algorithm>

#include "base/log.h"
#include "fs/reading_turn.h"

namespace bailey::fs {
namespace {

// What fewer nodes than these take is not worth a look through the heap.
constexpr size_t kWorthTrimming = 8192;

}  // namespace

size_t NodeTable::NameHash::operator()(const NameKey& key) const {
  const size_t parent = reinterpret_cast<uintptr_t>(key.parent) * 0x9e3779b97f4a7c15U;
  return std::hash<std::string_view>()(key.text) ^ (parent >> 7);
}
size_t NodeTable::LinkHash::operator()(const std::pair<uint64_t, uint64_t>& key) const {
  return (key.second * 0x9e3779b97f4a7c15U) ^ key.first;
}

NodeTable::NodeTable(Disposer disposer)
    : disposer_(std::move(disposer)), root_(std::make_unique<Node>()) {
  root_->type = S_IFDIR;
  root_->directory = std::make_unique<Directory>();
  root_->lookups = 1;
}

NodeTable::~NodeTable() {
  for (Node* node : nodes_) {
    disposer_(*node);
    delete node;
  }
  disposer_(*root_);
}

Node* NodeTable::Find(const Node& parent, std::string_view name) const {
  const auto at = names_.find(NameKey{&parent, name});
  return at == names_.end() ? nullptr : (*at)->node;
}

Node* NodeTable::LookUp(Node& parent, std::string_view name) {
  const std::lock_guard lock(mutex_);
  Node* node = Find(parent, name);
  if (node != nullptr) ++node->lookups;
  return node;
}

Node* NodeTable::FindAndPin(Node& parent, std::string_view name) {
  const std::lock_guard lock(mutex_);
  Node* node = Find(parent, name);
  if (node != nullptr) ++node->references;
  return node;
}

// One that is gone is not revived: only the exclusive tree lock allows to change its place.
Node* NodeTable::FindLink(uint64_t device, uint64_t number) const {
  const auto at = links_.find({device, number});
  return at == links_.end() || at->second->gone ? nullptr : at->second;
}

Node* NodeTable::LookUpLink(uint64_t device, uint64_t number, Node& parent, std::string_view name) {
  const std::lock_guard lock(mutex_);
  Node* node = FindLink(device, number);
  if (node == nullptr) return nullptr;
  ++node->lookups;
  if (Find(parent, name) == nullptr) {
    node->other_names.push_back(std::make_unique<Name>());
    Attach(*node, *node->other_names.back(), parent, name);
  }
  return node;
}

void NodeTable::Attach(Node& node, Name& name, Node& parent, std::string_view text) {
  name.parent = &parent;
  name.text = text;
  name.node = &node;
  names_.insert(&name);
  ++parent.references;
}

void NodeTable::Detach(Name& name, Nodes* dead) {
  names_.erase(names_.find(&name));
  Node* parent = std::exchange(name.parent, nullptr);
  --parent->references;
  Collect(*parent, dead);
}

Node* NodeTable::Insert(std::unique_ptr<Node> node) {
  const std::lock_guard lock(mutex_);
  if (node->at.parent != nullptr) {
    if (Node* there = Find(*node->at.parent, node->at.text); there != nullptr) {
      ++there->lookups;
      return there;
    }
    const std::string text = std::move(node->at.text);
    if (Node* same =
            node->link_number == 0 ? nullptr : FindLink(node->link_device, node->link_number);
        same != nullptr) {  // somebody has just found it by another name
      ++same->lookups;
      same->other_names.push_back(std::make_unique<Name>());
      Attach(*same, *same->other_names.back(), *node->at.parent, text);
      return same;
    }
    Attach(*node, node->at, *node->at.parent, text);
  }
  node->lookups = 1;
  if (node->link_number != 0) links_[{node->link_device, node->link_number}] = node.get();
  nodes_.insert(node.get());
  most_ = std::max(most_, nodes_.size());
  return node.release();
}

// Moves the node, and ancestors that only it kept alive, to `dead` if nobody needs them.
void NodeTable::Collect(Node& node, Nodes* dead) {
  if (node.lookups != 0 || node.references != 0 || &node == root_.get()) return;
  nodes_.erase(&node);
  EraseLink(node);
  dead->emplace_back(&node);
  for (auto& name : node.other_names) Detach(*name, dead);
  if (node.at.parent != nullptr) Detach(node.at, dead);
  if (Node* successor = node.successor.exchange(nullptr); successor != nullptr) {
    --successor->references;
    Collect(*successor, dead);
  }
}

void NodeTable::Dispose(const Nodes& dead) {
  for (const auto& node : dead) disposer_(*node);
}

void NodeTable::CountLookup(Node& node) {
  const std::lock_guard lock(mutex_);
  ++node.lookups;
}

void NodeTable::Forget(Node& node, uint64_t lookups) {
  Nodes dead;
  bool trim = false;
  {
    const std::lock_guard lock(mutex_);
    if (&node == root_.get()) return;
    BAILEY_CHECK(node.lookups >= lookups);
    node.lookups -= lookups;
    Collect(node, &dead);
    trim = ShrinkIfEmptied();
  }
  Dispose(dead);
  if (!trim) return;
  ReadingTurn::GiveUpMine();
  dead.clear();
  ::malloc_trim(0);  // free() gives nothing back that lies below something in use
}

bool NodeTable::ShrinkIfEmptied() {
  if (most_ < kWorthTrimming || nodes_.size() > most_ / 2) return false;
  most_ = nodes_.size();
  names_.rehash(0);
  nodes_.rehash(0);
  return true;
}

void NodeTable::Pin(Node& node) {
  const std::lock_guard lock(mutex_);
  ++node.references;
}

Node* NodeTable::PinParent(Node& node) {
  const std::lock_guard lock(mutex_);
  if (node.at.parent != nullptr) ++node.at.parent->references;
  return node.at.parent;
}

void NodeTable::Unpin(Node& node) {
  Nodes dead;
  {
    const std::lock_guard lock(mutex_);
    --node.references;
    Collect(node, &dead);
  }
  Dispose(dead);
}

void NodeTable::MarkLinked(Node& node, dev_t device, ino_t number) {
  const std::lock_guard lock(mutex_);
  if (node.link_number != 0) return;
  node.link_device = device;
  node.link_number = number;
  links_[{device, number}] = &node;
}

void NodeTable::Unlink(Node& node) {
  const std::lock_guard lock(mutex_);
  EraseLink(node);
}

void NodeTable::EraseLink(Node& node) {
  if (node.link_number == 0) return;
  const auto at = links_.find({node.link_device, node.link_number});
  if (at != links_.end() && at->second == &node) links_.erase(at);
  node.link_device = node.link_number = 0;
}

void NodeTable::AddName(Node& node, Node& parent, std::string_view name) {
  const std::lock_guard lock(mutex_);
  if (node.at.parent == nullptr) {
    node.gone = false;
    Attach(node, node.at, parent, name);
    return;
  }
  node.other_names.push_back(std::make_unique<Name>());
  Attach(node, *node.other_names.back(), parent, name);
}

bool NodeTable::RemoveName(Node& node, Node& parent, std::string_view name, bool has_others) {
  Nodes dead;
  {
    const std::lock_guard lock(mutex_);
    const auto at = names_.find(NameKey{&parent, name});
    if (at != names_.end() && (*at)->node == &node) {
      Name* removed = *at;
      Detach(*removed, &dead);
      auto& others = node.other_names;
      if (removed != &node.at) {
        std::erase_if(others, [&](const auto& other) { return other.get() == removed; });
      } else if (!others.empty()) {
        const std::unique_ptr<Name> next = std::move(others.back());
        others.pop_back();
        names_.erase(names_.find(next.get()));
        node.at.parent = next->parent;
        node.at.text = std::move(next->text);
        names_.insert(&node.at);
      }
      if (node.at.parent == nullptr && others.empty() && !has_others) node.gone = true;
    }
  }
  Dispose(dead);
  return !node.gone;
}

void NodeTable::MoveName(Node& node, Node& from, std::string_view old_name, Node& to,
                         std::string_view new_name) {
  Nodes dead;
  {
    const std::lock_guard lock(mutex_);
    const auto at = names_.find(NameKey{&from, old_name});
    if (at == names_.end() || (*at)->node != &node) return;
    Name& name = **at;
    ++from.references;  // stays alive until the name is attached again
    Detach(name, &dead);
    Attach(node, name, to, new_name);
    --from.references;
    Collect(from, &dead);
  }
  Dispose(dead);
}

void NodeTable::SwapNames(Node& a_parent, std::string_view a_name, Node& b_parent,
                          std::string_view b_name) {
  const std::lock_guard lock(mutex_);
  const auto a = names_.find(NameKey{&a_parent, a_name});
  const auto b = names_.find(NameKey{&b_parent, b_name});
  if (a == names_.end() || b == names_.end()) return;
  Name &x = **a, &y = **b;
  names_.erase(a);
  names_.erase(names_.find(&y));
  std::swap(x.parent, y.parent);
  std::swap(x.text, y.text);
  names_.insert(&x);
  names_.insert(&y);
}

void NodeTable::Succeed(Node& node, std::unique_ptr<Node> successor) {
  const std::lock_guard lock(mutex_);
  Node* next = successor.release();
  nodes_.insert(next);
  Node* parent = node.at.parent;
  const std::string text = node.at.text;
  if (parent != nullptr) {
    names_.erase(names_.find(&node.at));
    next->at = Name{parent, text, next};
    names_.insert(&next->at);
    node.at = Name{};  // its file is `kept` from now on
  }
  next->other_names = std::exchange(node.other_names, {});
  for (const auto& name : next->other_names) name->node = next;
  if (node.link_number != 0) {
    next->link_device = std::exchange(node.link_device, 0);
    next->link_number = std::exchange(node.link_number, 0);
    links_[{next->link_device, next->link_number}] = next;
  }
  node.successor = next;
  ++next->references;
}

size_t NodeTable::size() const {
  const std::lock_guard lock(mutex_);
  return nodes_.size();
}

}  // namespace bailey::fs
