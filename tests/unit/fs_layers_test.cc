// What shows through layers: whiteouts, opaque directories, redirects, hidden paths.
#include <algorithm>

#include "tests/support/layer_fixture.h"

namespace bailey::fs {
namespace {

using Strings = std::vector<std::string>;
using Layers = LayerFixture;

TEST_F(Layers, TheTopmostFileAndAllOfADirectoryShow) {
  Write("lower1/d/both", "1");
  Write("lower2/d/both", "2");
  Write("lower2/d/below", "2");
  Write("upper/d/above", "u");
  Tree& tree = MakeTree(2);
  EXPECT_EQ(Names(tree, "d"), (Strings{"above", "below", "both"}));
  const auto both = tree.Stat(*Walk(tree, "d/both"));
  ASSERT_TRUE(both);
  EXPECT_EQ(both->st_ino, StatOf("lower1/d/both").st_ino);
}

TEST_F(Layers, WhiteoutsHideAndAreHidden) {
  Write("lower2/d/a", "2");
  Write("lower2/d/b", "2");
  WhiteOut("lower1/d/a");
  WhiteOut("upper/d/b");
  Tree& tree = MakeTree(2);
  EXPECT_EQ(Names(tree, "d"), Strings{});
  EXPECT_EQ(Walk(tree, "d/a"), nullptr);
  EXPECT_EQ(Walk(tree, "d/b"), nullptr);
}

TEST_F(Layers, AnOpaqueDirectoryHidesWhatIsBelow) {
  Write("lower3/d/below", "3");
  Write("lower1/d/own", "1");
  Mark("lower1/d", kOpaqueMark, "y");
  MakeDirectory("upper/d");
  Tree& tree = MakeTree(3);
  EXPECT_EQ(Names(tree, "d"), Strings{"own"});
}

TEST_F(Layers, AFileEndsADirectoryAndADirectoryAFile) {
  Write("lower1/x", "file");
  Write("lower2/x/below", "2");
  Write("lower1/y/own", "1");
  Write("lower2/y", "file");
  Write("lower3/y/below", "3");
  Tree& tree = MakeTree(3);
  EXPECT_FALSE(Walk(tree, "x")->is_directory());
  EXPECT_EQ(Names(tree, "y"), Strings{"own"});
}

TEST_F(Layers, ARedirectFindsWhatWasMoved) {
  Write("lower1/old/place/f", "1");
  MakeDirectory("upper/new");
  Mark("upper/new", kRedirectMark, "/old/place");
  MakeDirectory("upper/same");
  Mark("upper/same", kRedirectMark, "old");
  WhiteOut("upper/old");
  Tree& tree = MakeTree(1);
  EXPECT_EQ(Names(tree, "new"), Strings{"f"});
  EXPECT_EQ(Names(tree, "same"), Strings{"place"});
  EXPECT_EQ(Walk(tree, "old"), nullptr);
}

TEST_F(Layers, ARedirectCannotLeaveItsLayer) {
  Write("secret/f", "of the host");
  Write("lower1/d/f", "1");
  for (const char* path :
       {"/../secret", "/d/../../secret", "../secret", "..", "d/..", "/d/./f", "//d", "/"}) {
    MakeDirectory("upper/way");
    Mark("upper/way", kRedirectMark, path);
    Tree& tree = MakeTree(1);
    EXPECT_EQ(NumberOf(tree.LookUp(tree.root(), "way")), EIO) << path;
  }
}

TEST_F(Layers, ASymlinkInALayerIsNeverFollowed) {
  Write("secret/f", "of the host");
  std::filesystem::create_directory_symlink(home_ / "secret", home_ / "lower1/way");
  MakeDirectory("upper/moved");
  Mark("upper/moved", kRedirectMark, "/way");
  Tree& tree = MakeTree(1);
  EXPECT_TRUE(S_ISLNK(Walk(tree, "way")->type));
  EXPECT_EQ(Walk(tree, "moved/f"), nullptr);
}

TEST_F(Layers, DataOfAMetacopyAreFoundBelow) {
  std::string elsewhere;
  for (int depth = 0; depth < 3; ++depth) elsewhere += "/" + std::string(200, 'd');
  Write("lower2" + elsewhere, "data");
  Write("lower2/f", "others");
  Write("lower1/f", "");
  std::filesystem::resize_file(home_ / "lower1/f", 4);
  Mark("lower1/f", kMetacopyMark, "");
  Mark("lower1/f", kRedirectMark, elsewhere);
  Tree& tree = MakeTree(2);
  Node* node = Walk(tree, "f");
  ASSERT_NE(node, nullptr);
  const auto file = tree.Reopen(*node, O_RDONLY);
  ASSERT_TRUE(file);
  char text[5] = {};
  EXPECT_EQ(::read(file->get(), text, 4), 4);
  EXPECT_STREQ(text, "data");
}

TEST_F(Layers, HiddenPathsAreNowhere) {
  Write("lower1/etc/secret", "1");
  Write("lower1/etc/plain", "1");
  Write("lower1/keys/k", "1");
  Tree& tree = MakeTree(1, true, {"/etc/secret", "/keys"});
  EXPECT_EQ(Names(tree, "etc"), Strings{"plain"});
  EXPECT_EQ(Walk(tree, "etc/secret"), nullptr);
  EXPECT_EQ(Walk(tree, "keys"), nullptr);
  Node& etc = *Walk(tree, "etc");
  EXPECT_EQ(NumberOf(tree.Rename(tree.root(), "etc", tree.root(), "e", 0)), EPERM);
  EXPECT_EQ(NumberOf(tree.Create(etc, "secret", 0600, O_RDWR, {})), EPERM);
  EXPECT_EQ(NumberOf(tree.Unlink(etc, "secret")), ENOENT);
  EXPECT_EQ(tree.counters().Get(FsCounter::kDenied), 2U);
}

TEST_F(Layers, WithoutAnUpperNothingChanges) {
  Write("lower1/f", "1");
  Tree& tree = MakeTree(1, /*with_upper=*/false);
  Node& file = *Walk(tree, "f");
  EXPECT_EQ(NumberOf(tree.OpenNode(file, O_WRONLY)), EROFS);
  EXPECT_EQ(NumberOf(tree.Unlink(tree.root(), "f")), EROFS);
  EXPECT_EQ(NumberOf(tree.Create(tree.root(), "g", 0600, O_RDWR, {})), EROFS);
  EXPECT_EQ(NumberOf(tree.SetAttribute(file, "user.a", "b", 0, false)), EROFS);
}

TEST_F(Layers, OneServerToAnUpper) {
  MakeTree(1);
  const auto second = WorkArea::Open(Open("work"));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().Errno(), EBUSY);
}

}  // namespace
}  // namespace bailey::fs
