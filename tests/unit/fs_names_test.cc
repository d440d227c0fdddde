// Inode numbers, hidden paths, the table of nodes, and the readers' turn: no file system is
// involved.
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "fs/inode_numbers.h"
#include "fs/node_table.h"
#include "fs/projection.h"
#include "fs/reading_turn.h"

namespace bailey::fs {
namespace {

TEST(InodeNumbers, TheFirstDeviceKeepsItsOwn) {
  InodeNumbers numbers;
  EXPECT_EQ(numbers.Map(7, 42), 42U);
  EXPECT_EQ(numbers.Map(7, 42), 42U);
}

TEST(InodeNumbers, OneNumberOnSeveralDevicesIsSeveralNumbers) {
  InodeNumbers numbers;
  std::set<uint64_t> seen;
  constexpr uint64_t kLarge = 0xfedcba9876543210U;
  for (dev_t device = 1; device <= 50; ++device)
    for (const uint64_t number : {uint64_t{2}, uint64_t{3}, (uint64_t{1} << 48) - 1, kLarge})
      seen.insert(numbers.Map(device, number));
  EXPECT_EQ(seen.size(), 200U);
  EXPECT_TRUE(seen.contains(numbers.Map(50, kLarge))) << "and stays the same";
}

std::unique_ptr<Node> NewNode(Node& parent, const char* name, mode_t type = S_IFREG) {
  auto node = std::make_unique<Node>();
  node->type = type;
  if (S_ISDIR(type)) node->directory = std::make_unique<Directory>();
  node->at.parent = &parent;
  node->at.text = name;
  return node;
}

class Table : public testing::Test {
 protected:
  int disposed_ = 0;
  NodeTable table_{[this](Node&) { ++disposed_; }};
};

TEST_F(Table, ANodeLivesWhileItIsKnown) {
  Node* node = table_.Insert(NewNode(table_.root(), "a"));
  EXPECT_EQ(table_.LookUp(table_.root(), "a"), node);
  EXPECT_EQ(table_.LookUp(table_.root(), "b"), nullptr);
  table_.Forget(*node, 1);
  EXPECT_EQ(disposed_, 0);
  table_.Forget(*node, 1);
  EXPECT_EQ(disposed_, 1);
  EXPECT_EQ(table_.LookUp(table_.root(), "a"), nullptr);
  EXPECT_EQ(table_.size(), 0U);
}

TEST_F(Table, TwoThreadsThatFindANameGetOneNode) {
  Node* node = table_.Insert(NewNode(table_.root(), "a"));
  EXPECT_EQ(table_.Insert(NewNode(table_.root(), "a")), node);
  EXPECT_EQ(node->lookups, 2U);
}

TEST_F(Table, ANodeBelowKeepsThoseAbove) {
  Node* directory = table_.Insert(NewNode(table_.root(), "d", S_IFDIR));
  Node* file = table_.Insert(NewNode(*directory, "f"));
  table_.Forget(*directory, 1);
  EXPECT_EQ(disposed_, 0);
  table_.Forget(*file, 1);
  EXPECT_EQ(disposed_, 2);
}

TEST_F(Table, APinKeepsWhatIsForgotten) {
  Node* node = table_.Insert(NewNode(table_.root(), "a"));
  {
    const PinnedNode pinned(table_, table_.FindAndPin(table_.root(), "a"));
    table_.Forget(*node, 1);
    EXPECT_EQ(disposed_, 0);
  }
  EXPECT_EQ(disposed_, 1);
}

TEST_F(Table, NamesMoveAndSwap) {
  Node* directory = table_.Insert(NewNode(table_.root(), "d", S_IFDIR));
  Node* a = table_.Insert(NewNode(table_.root(), "a"));
  Node* b = table_.Insert(NewNode(*directory, "b"));
  table_.MoveName(*a, table_.root(), "a", *directory, "c");
  EXPECT_EQ(table_.LookUp(*directory, "c"), a);
  EXPECT_EQ(table_.LookUp(table_.root(), "a"), nullptr);
  table_.MoveName(*a, *directory, "c", table_.root(), "a");
  table_.SwapNames(table_.root(), "a", *directory, "b");
  EXPECT_EQ(table_.LookUp(*directory, "b"), a);
  EXPECT_EQ(table_.LookUp(table_.root(), "a"), b);
}

TEST_F(Table, TheLastNameGoneIsTheNodeGone) {
  Node* node = table_.Insert(NewNode(table_.root(), "a"));
  table_.AddName(*node, table_.root(), "b");
  table_.MarkLinked(*node, 1, 2);
  EXPECT_TRUE(table_.RemoveName(*node, table_.root(), "a"));
  EXPECT_EQ(node->at.text, "b");
  EXPECT_EQ(table_.LookUpLink(1, 2, table_.root(), "c"), node);
  EXPECT_TRUE(table_.RemoveName(*node, table_.root(), "c"));
  EXPECT_FALSE(table_.RemoveName(*node, table_.root(), "b"));
  EXPECT_TRUE(node->gone);
  EXPECT_EQ(table_.LookUpLink(1, 2, table_.root(), "d"), nullptr) << "gone for good";
  EXPECT_TRUE(node->gone);
}

TEST_F(Table, OfTwoWhoFindOneFileByTwoNamesOneMakesTheNode) {
  const auto linked = [&](const char* name) {
    auto node = NewNode(table_.root(), name);
    node->link_device = Node::kLowerLinks;
    node->link_number = 7;
    return node;
  };
  Node* node = table_.Insert(linked("a"));
  EXPECT_EQ(table_.Insert(linked("b")), node);
  EXPECT_EQ(table_.LookUp(table_.root(), "b"), node);
  EXPECT_EQ(table_.size(), 1U);
}

TEST_F(Table, AFileWithNamesThatNobodyKnowsIsNotGone) {
  Node* node = table_.Insert(NewNode(table_.root(), "a"));
  table_.MarkLinked(*node, Node::kLowerLinks, 7);
  EXPECT_TRUE(table_.RemoveName(*node, table_.root(), "a", /*has_others=*/true));
  EXPECT_FALSE(node->gone);
  EXPECT_EQ(table_.LookUpLink(Node::kLowerLinks, 7, table_.root(), "b"), node);
  EXPECT_FALSE(table_.RemoveName(*node, table_.root(), "b"));
  EXPECT_TRUE(node->gone);
}

TEST_F(Table, ASuccessorTakesTheName) {
  Node* old = table_.Insert(NewNode(table_.root(), "a"));
  auto next = std::make_unique<Node>();
  next->type = S_IFREG;
  Node* successor = next.get();
  table_.Succeed(*old, std::move(next));
  EXPECT_EQ(&old->Current(), successor);
  EXPECT_EQ(table_.LookUp(table_.root(), "a"), successor);
  table_.Forget(*successor, 1);
  EXPECT_EQ(disposed_, 0) << "the old one refers to it";
  table_.Forget(*old, 1);
  EXPECT_EQ(disposed_, 2);
}

TEST(ReadingTurn, IsKeptUntilItIsGivenUp) {
  ReadingTurn turn;
  turn.Take();
  turn.Take();  // has it already
  std::atomic<bool> second = false;
  std::thread other([&] {
    turn.Take();
    second = true;
    turn.GiveUp();
    turn.GiveUp();  // has it no more
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(second);
  ReadingTurn::GiveUpMine();
  other.join();
  EXPECT_TRUE(second);
  ReadingTurn::GiveUpMine();
  turn.Take();
  turn.GiveUp();
}

TEST(Projection, HidesPathsAndGuardsWhatIsAbove) {
  const auto projection = Projection::Make({"/etc/ssl/private", "keys"});
  ASSERT_TRUE(projection);
  NodeTable table([](Node&) {});
  Node* etc = table.Insert(NewNode(table.root(), "etc", S_IFDIR));
  Node* ssl = table.Insert(NewNode(*etc, "ssl", S_IFDIR));
  EXPECT_TRUE(projection->Hides(*ssl, "private"));
  EXPECT_FALSE(projection->Hides(*etc, "private"));
  EXPECT_TRUE(projection->Hides(table.root(), "keys"));
  EXPECT_FALSE(projection->Hides(*etc, "keys"));
  EXPECT_TRUE(projection->HidesLower("etc/ssl/private"));
  EXPECT_TRUE(projection->HidesBelow(table.root(), "etc"));
  EXPECT_TRUE(projection->HidesBelow(*etc, "ssl"));
  EXPECT_FALSE(projection->HidesBelow(table.root(), "etcetera"));
}

TEST(Projection, RefusesWhatIsNoPlainPath) {
  for (const char* path : {"", "/", "//", "/a//b", "/a/", "/./a", "/a/../b", ".."})
    EXPECT_FALSE(Projection::Make({path})) << path;
}

}  // namespace
}  // namespace bailey::fs
