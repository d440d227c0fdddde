// What changes do on disk: copy-up, whiteouts, opaque directories, redirects, what is refused.
#include <sys/mount.h>
#include <sys/resource.h>

#include <algorithm>

#include "fs/file_copy.h"
#include "tests/support/in_child.h"
#include "tests/support/layer_fixture.h"

namespace bailey::fs {
namespace {

using Strings = std::vector<std::string>;
using Changes = LayerFixture;

TEST_F(Changes, CopyUpKeepsWhatAFileIs) {
  Write("lower1/d/f", "data");
  const std::string path = home_ / "lower1/d/f";
  ASSERT_EQ(::chown(path.c_str(), 12, 34), 0);
  ASSERT_TRUE(ChangeMode(AT_FDCWD, path.c_str(), 06751, 0));
  Mark("lower1/d/f", "user.note", "kept");
  const struct stat parent = StatOf("lower1/d");
  Tree& tree = MakeTree(1);
  Node& node = *Walk(tree, "d/f");
  const struct stat before = *tree.Stat(node);
  ASSERT_TRUE(tree.SetAttribute(node, "user.more", "new", 0, false));
  const struct stat after = *tree.Stat(node);
  EXPECT_EQ(after.st_ino, before.st_ino);
  EXPECT_EQ(after.st_mode, before.st_mode);
  EXPECT_EQ(after.st_nlink, before.st_nlink);
  EXPECT_EQ(after.st_uid, 12U);
  EXPECT_EQ(after.st_gid, 34U);
  EXPECT_EQ(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
  EXPECT_EQ(MarkOf("upper/d/f", "user.note"), "kept");
  EXPECT_EQ(Read("upper/d/f"), std::string(4, '\0')) << "its data stay where they are";
  EXPECT_EQ(MarkOf("lower1/d/f", "user.more"), "") << "the lower is as it was";
  EXPECT_EQ(StatOf("upper/d").st_mtim.tv_nsec, parent.st_mtim.tv_nsec);
  Tree& again = MakeTree(1);
  Node& same = *Walk(again, "d/f");
  EXPECT_EQ(again.Stat(same)->st_ino, before.st_ino) << "also of the next server";
  ASSERT_TRUE(again.OpenNode(same, O_WRONLY));
  EXPECT_EQ(Read("upper/d/f"), "data") << "they follow when they may change";
  EXPECT_EQ(again.Stat(same)->st_mode, before.st_mode);
  EXPECT_EQ(again.Stat(same)->st_mtim.tv_nsec, before.st_mtim.tv_nsec);
}

// A template may bind directories of the living host, whose files an upgrade changes.
TEST_F(Changes, NothingDependsOnWhatTheHostMayUpgrade) {
  Write("host/f", "old data");
  Write("host/a", "linked");
  std::filesystem::create_hard_link(home_ / "host/a", home_ / "host/b");
  MakeDirectory("lower1/usr");
  InChild(CLONE_NEWNS, [this] {
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    const std::string host = home_ / "host", usr = home_ / "lower1/usr";
    ASSERT_EQ(::mount(host.c_str(), usr.c_str(), nullptr, MS_BIND, nullptr), 0);
    ASSERT_EQ(StatOf("lower1").st_dev, StatOf("lower1/usr/f").st_dev) << "the mount alone tells";
    Tree& tree = MakeTree(1);
    for (const char* name : {"usr/f", "usr/a"})
      ASSERT_TRUE(tree.SetAttribute(*Walk(tree, name), "user.more", "new", 0, false));
    Write("host/f", "new");
    Tree& again = MakeTree(1);
    EXPECT_EQ(Read("upper/usr/f"), "old data");
    EXPECT_EQ(again.Stat(*Walk(again, "usr/f"))->st_size, 8);
    EXPECT_EQ(Read("upper/usr/a"), "linked");
    EXPECT_FALSE(std::filesystem::exists(home_ / "work/bailey-links"));
    EXPECT_NE(Walk(again, "usr/a"), Walk(again, "usr/b"));
  });
}

// fsync makes attributes last, too: they may lie elsewhere than the data.
TEST_F(Changes, WhatIsSyncedIsTheFileThatWasChanged) {
  Write("lower1/f", "data");
  Tree& tree = MakeTree(1);
  Node& node = *Walk(tree, "f");
  const auto synced = [&] {
    struct stat st {};
    const auto file = tree.OpenToSync(node);
    EXPECT_TRUE(file);
    EXPECT_EQ(*file ? ::fstat(file->get(), &st) : 0, 0);
    return st.st_ino;
  };
  EXPECT_EQ(synced(), 0U) << "no tenant makes a lower's disk flush";
  ASSERT_TRUE(tree.SetAttribute(node, "user.more", "new", 0, false));
  EXPECT_EQ(synced(), StatOf("upper/f").st_ino);
  EXPECT_EQ(Read("upper/f"), std::string(4, '\0'));
}

// A server that was killed between emptying a file and taking its mark away.
TEST_F(Changes, AnEmptiedFileNeverGetsTheTemplatesDataBack) {
  Write("lower1/d/f", "template");
  Write("upper/d/f", "");
  Mark("upper/d/f", kMetacopyMark, "");
  Tree& tree = MakeTree(1);
  ASSERT_TRUE(tree.OpenNode(*Walk(tree, "d/f"), O_WRONLY));
  EXPECT_EQ(::lgetxattr((home_ / "upper/d/f").c_str(), kMetacopyMark, nullptr, 0), -1);
  Write("upper/d/f", "own");
  Tree& again = MakeTree(1);
  const auto file = again.OpenNode(*Walk(again, "d/f"), O_RDONLY);
  ASSERT_TRUE(file);
  std::string text(9, '\0');
  text.resize(static_cast<size_t>(::pread(file->file.get(), text.data(), text.size(), 0)));
  EXPECT_EQ(text, "own");
}

TEST_F(Changes, AnIndexEntryOfAnotherKindIsAnotherFiles) {
  Write("lower1/a", "linked");
  std::filesystem::create_hard_link(home_ / "lower1/a", home_ / "lower1/b");
  const struct stat lower = StatOf("lower1/a");
  const std::string entry = "work/bailey-links/" + LinkKey{0, lower.st_ino}.Text();
  MakeDirectory("work/bailey-links");
  std::filesystem::create_symlink("target", home_ / entry);
  Mark(entry, kLinkMark, LinkMark::OfLower(lower).Text());
  Tree& tree = MakeTree(1);
  EXPECT_TRUE(S_ISREG(tree.LookUp(tree.root(), "a")->st.st_mode));
}

// A link that the index counts too few of: no name leads to it, and it is not there.
TEST_F(Changes, AnIndexThatCountsFewerLinksThanThereAreNames) {
  Write("lower1/a", "linked");
  for (const char* name : {"lower1/b", "lower1/c"})
    std::filesystem::create_hard_link(home_ / "lower1/a", home_ / name);
  Tree& tree = MakeTree(1);
  ASSERT_TRUE(tree.SetAttribute(*Walk(tree, "a"), "user.more", "new", 0, false));
  std::string mark = MarkOf("upper/a", kLinkMark);
  mark = "=2" + mark.substr(mark.find(' '));
  Mark("upper/a", kLinkMark, mark);
  Tree& again = MakeTree(1);
  ASSERT_NE(Walk(again, "a"), nullptr);
  ASSERT_TRUE(again.Unlink(again.root(), "a"));
  Node* node = Walk(again, "b");
  ASSERT_NE(node, nullptr);
  ASSERT_EQ(Walk(again, "c"), node);
  ASSERT_TRUE(again.Unlink(again.root(), "b"));
  EXPECT_EQ(NumberOf(again.Stat(*node)), ESTALE);
}

TEST_F(Changes, RemovedIsWhitedOutOnlyWhereItMust) {
  Write("lower1/below", "1");
  Write("lower1/both", "1");
  Write("upper/both", "u");
  Write("upper/own", "u");
  Tree& tree = MakeTree(1);
  for (const char* name : {"below", "both", "own"}) ASSERT_TRUE(tree.Unlink(tree.root(), name));
  EXPECT_TRUE(IsWhiteout(StatOf("upper/below")));
  EXPECT_TRUE(IsWhiteout(StatOf("upper/both")));
  EXPECT_FALSE(std::filesystem::exists(home_ / "upper/own"));
  EXPECT_EQ(Names(tree, ""), Strings{});
}

TEST_F(Changes, ADirectoryOverAWhiteoutIsOpaque) {
  Write("lower1/d/f", "1");
  Tree& tree = MakeTree(1);
  Node& old = *Walk(tree, "d");
  ASSERT_TRUE(tree.Unlink(old, "f"));
  ASSERT_TRUE(tree.RemoveDirectory(tree.root(), "d"));
  ASSERT_TRUE(tree.Make(tree.root(), "d", {S_IFDIR | 0750, {}, false}, {7, 8, 022}));
  EXPECT_EQ(MarkOf("upper/d", kOpaqueMark), "y");
  EXPECT_EQ(StatOf("upper/d").st_mode & 07777, 0750U);
  EXPECT_EQ(StatOf("upper/d").st_uid, 7U);
  EXPECT_EQ(Names(tree, "d"), Strings{});
  EXPECT_TRUE(std::filesystem::is_empty(home_ / "work/bailey"));
}

TEST_F(Changes, AMergedDirectoryMovesByARedirect) {
  Write("lower1/a/b/f", "1");
  Tree& tree = MakeTree(1);
  const auto number = tree.Stat(*Walk(tree, "a/b"))->st_ino;
  ASSERT_TRUE(tree.Rename(*Walk(tree, "a"), "b", tree.root(), "c", 0));
  ASSERT_TRUE(tree.Rename(tree.root(), "c", tree.root(), "d", 0));
  EXPECT_EQ(MarkOf("upper/d", kRedirectMark), "/a/b");
  EXPECT_TRUE(IsWhiteout(StatOf("upper/a/b")));
  for (Tree* seen : {&tree, &MakeTree(1)}) {
    (void)seen;
    EXPECT_EQ(Names(*tree_, "d"), Strings{"f"});
    EXPECT_EQ(Names(*tree_, "a"), Strings{});
    EXPECT_EQ(tree_->Stat(*Walk(*tree_, "d"))->st_ino, number);
  }
}

TEST_F(Changes, AnOwnDirectoryMovedAboveALowerOneHidesIt) {
  Write("lower1/d/below", "1");
  Tree& tree = MakeTree(1);
  ASSERT_TRUE(tree.Unlink(*Walk(tree, "d"), "below"));
  ASSERT_TRUE(tree.Make(tree.root(), "own", {S_IFDIR | 0755, {}, false}, {}));
  ASSERT_TRUE(tree.Rename(tree.root(), "own", tree.root(), "d", 0));
  Tree& again = MakeTree(1);
  EXPECT_EQ(Names(again, "d"), Strings{});
  EXPECT_EQ(Walk(again, "own"), nullptr);
}

TEST_F(Changes, RenameJudgesItsTarget) {
  Write("lower1/full/f", "1");
  MakeDirectory("lower1/empty");
  Write("lower1/file", "1");
  Tree& tree = MakeTree(1);
  Node& root = tree.root();
  EXPECT_EQ(NumberOf(tree.Rename(root, "empty", root, "full", 0)), ENOTEMPTY);
  EXPECT_EQ(NumberOf(tree.Rename(root, "empty", root, "file", 0)), ENOTDIR);
  EXPECT_EQ(NumberOf(tree.Rename(root, "file", root, "empty", 0)), EISDIR);
  EXPECT_EQ(NumberOf(tree.Rename(root, "file", root, "full", RENAME_NOREPLACE)), EEXIST);
  EXPECT_EQ(NumberOf(tree.Rename(root, "file", root, "none", RENAME_EXCHANGE)), ENOENT);
  EXPECT_EQ(NumberOf(tree.RemoveDirectory(root, "full")), ENOTEMPTY);
  EXPECT_EQ(NumberOf(tree.RemoveDirectory(root, "file")), ENOTDIR);
  EXPECT_EQ(NumberOf(tree.Unlink(root, "full")), EISDIR);
  ASSERT_TRUE(tree.Rename(root, "file", root, "full", RENAME_EXCHANGE));
  EXPECT_TRUE(Walk(tree, "file")->is_directory());
  EXPECT_EQ(Names(tree, "file"), Strings{"f"});
}

TEST_F(Changes, NobodyForgesAWhiteoutOrAMark) {
  Write("lower1/f", "1");
  Tree& tree = MakeTree(1);
  Node& root = tree.root();
  EXPECT_EQ(NumberOf(tree.Make(root, "c", {S_IFCHR | 0600, {}, false}, {})), EPERM);
  EXPECT_EQ(NumberOf(tree.Make(root, "b", {S_IFBLK | 0600, {}, false}, {})), EPERM);
  EXPECT_EQ(NumberOf(tree.Rename(root, "f", root, "g", RENAME_WHITEOUT)), EINVAL);
  Node& file = *Walk(tree, "f");
  for (const char* mark : {kOpaqueMark, kRedirectMark, kOriginMark, kMetacopyMark}) {
    EXPECT_EQ(NumberOf(tree.SetAttribute(file, mark, "y", 0, false)), EPERM);
    EXPECT_EQ(NumberOf(tree.RemoveAttribute(file, mark)), EPERM);
    EXPECT_EQ(NumberOf(tree.GetAttribute(file, mark)), ENODATA);
  }
  EXPECT_EQ(tree.counters().Get(FsCounter::kDenied), 11U);
  EXPECT_EQ(Names(tree, ""), Strings{"f"});
  EXPECT_FALSE(std::filesystem::exists(home_ / "upper/f")) << "refused before it is copied up";
}

TEST_F(Changes, MarksAreNotListed) {
  Write("upper/f", "u");
  Mark("upper/f", kOriginMark, "5");
  Mark("upper/f", "user.own", "x");
  Tree& tree = MakeTree(1);
  const auto names = tree.ListAttributes(*Walk(tree, "f"));
  ASSERT_TRUE(names);
  EXPECT_EQ(*names, std::string("user.own\0", 9));
}

TEST_F(Changes, HardLinksAreOneNode) {
  Write("upper/a", "u");
  Tree& tree = MakeTree(1);
  const auto linked = tree.Link(*Walk(tree, "a"), tree.root(), "b");
  ASSERT_TRUE(linked);
  EXPECT_EQ(linked->st.st_nlink, 2U);
  EXPECT_EQ(Walk(tree, "a"), Walk(tree, "b"));
  ASSERT_TRUE(tree.Unlink(tree.root(), "a"));
  EXPECT_EQ(tree.Stat(*Walk(tree, "b"))->st_nlink, 1U);
  Write("upper/c", "u");
  std::filesystem::create_hard_link(home_ / "upper/c", home_ / "upper/d");
  Tree& again = MakeTree(1);
  EXPECT_EQ(Walk(again, "c"), Walk(again, "d"));
}

TEST_F(Changes, AnUnlinkedOpenFileGoesOn) {
  Write("lower1/f", "data");
  Tree& tree = MakeTree(1);
  Node& node = *Walk(tree, "f");
  ASSERT_TRUE(tree.OpenNode(node, O_RDONLY));
  ASSERT_TRUE(tree.Unlink(tree.root(), "f"));
  EXPECT_EQ(tree.Stat(node)->st_size, 4);
  Attributes change;
  change.valid = Attributes::kMode;
  change.mode = 0600;
  const auto changed = tree.SetAttributes(node, change, -1);
  ASSERT_TRUE(changed);
  EXPECT_EQ(changed->st_mode & 07777, 0600U);
  EXPECT_EQ(Names(tree, ""), Strings{});
  tree.Close(node);
}

TEST_F(Changes, NothingIsLeftOfANamelessFileThatCouldNotBeMade) {
  MakeDirectory("upper/d");
  Tree& tree = MakeTree(1);
  Node& directory = *Walk(tree, "d");
  ASSERT_TRUE(tree.List(directory)) << "its descriptor is open";
  const int next = ::dup(STDERR_FILENO);
  ::close(next);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit one_more{static_cast<rlim_t>(next) + 1, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &one_more), 0);
  EXPECT_EQ(NumberOf(tree.CreateNameless(directory, 0640, O_RDWR, {9, 9, 0})), EMFILE);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(std::filesystem::is_empty(home_ / "work/bailey"));
}

TEST_F(Changes, ANamelessFileComesIntoTheTreeByALink) {
  MakeDirectory("upper/d");
  ASSERT_EQ(::chown((home_ / "upper/d").c_str(), 0, 55), 0);
  ASSERT_TRUE(ChangeMode(AT_FDCWD, (home_ / "upper/d").c_str(), 02775, 0));
  Tree& tree = MakeTree(1);
  Node& directory = *Walk(tree, "d");
  auto made = tree.CreateNameless(directory, 0640, O_RDWR, {9, 9, 0});
  ASSERT_TRUE(made);
  EXPECT_EQ(made->entry.st.st_nlink, 0U);
  EXPECT_EQ(made->entry.st.st_gid, 55U) << "of the setgid directory";
  EXPECT_EQ(Names(tree, "d"), Strings{});
  ASSERT_TRUE(tree.Link(*made->entry.node, directory, "f"));
  EXPECT_EQ(StatOf("upper/d/f").st_nlink, 1U);
  EXPECT_EQ(StatOf("upper/d/f").st_uid, 9U);
  auto lost = tree.CreateNameless(directory, 0640, O_RDWR, {});
  ASSERT_TRUE(lost);
  tree.Close(*lost->entry.node);
  tree.Forget(*lost->entry.node, 1);
  EXPECT_TRUE(std::filesystem::is_empty(home_ / "work/bailey"));
}

TEST_F(Changes, RubbishOfACrashIsRemovedAtStart) {
  Write("work/bailey/w1/deep/f", "half");
  Write("work/bailey/w2", "half");
  MakeTree(1);
  EXPECT_TRUE(std::filesystem::is_empty(home_ / "work/bailey"));
}

}  // namespace
}  // namespace bailey::fs
