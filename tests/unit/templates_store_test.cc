// Where templates live, and how a tree that somebody else filled goes away.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/files.h"
#include "tenants/templates/disk_use.h"
#include "tenants/templates/remove_tree.h"
#include "tenants/templates/root_writer.h"
#include "tenants/templates/template_store.h"

namespace bailey::tenants {
namespace {

namespace fs = std::filesystem;

class TemplatesFolder : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = fs::temp_directory_path() / "bailey-templates-XXXXXX";
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    state_ = path;
  }
  void TearDown() override { fs::remove_all(state_); }

  void Make(const std::string& name, int generation) {
    const fs::path directory = state_ / "templates" / name / std::to_string(generation);
    fs::create_directories(directory / "root");
    Template made;
    made.name = name;
    made.generation = generation;
    made.kind = "busybox";
    std::ofstream(directory / "template.json") << made.ToJson();
  }

  fs::path state_;
};

TEST_F(TemplatesFolder, FindsTheNewestGeneration) {
  for (const int generation : {1, 2, 10}) Make("web", generation);
  Make("api", 1);
  fs::create_directories(state_ / "templates/web/notanumber");
  fs::create_directories(state_ / "templates/.building-x-1");
  fs::create_directories(state_ / "templates/broken/1");
  EXPECT_EQ(FindTemplate(state_, "web")->generation, 10);
  EXPECT_EQ(FindTemplate(state_, "web", 2)->generation, 2);
  EXPECT_EQ(FindTemplate(state_, "web", 3).error().Errno(), ENOENT);
  EXPECT_EQ(FindTemplate(state_, "none").error().Errno(), ENOENT);
  EXPECT_FALSE(FindTemplate(state_, "../templates/web"));
  const auto all = ListTemplates(state_);
  ASSERT_EQ(all->size(), 2U);  // the broken one is logged and left out
  EXPECT_EQ((*all)[0].name, "api");
}

TEST_F(TemplatesFolder, KeepsTheSizeOfAGeneration) {
  Template made;
  made.name = "web";
  made.created = "2026-01-01T00:00:01Z";
  EXPECT_FALSE(Template::FromJson(made.ToJson())->use);
  made.use = {4096, 7};
  const auto read = Template::FromJson(made.ToJson());
  ASSERT_TRUE(read && read->use);
  EXPECT_EQ(read->use->bytes, 4096U);
  EXPECT_EQ(read->use->inodes, 7U);
  EXPECT_EQ(read->CreatedAt(), 1'767'225'601.0);
}

DiskUse Measured(const fs::path& path, const WalkBounds& bounds = kShortWalk) {
  const UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto use = MeasureTree(directory.get(), bounds);
  EXPECT_TRUE(use);
  return use ? *use : DiskUse{};
}

TEST_F(TemplatesFolder, MeasuresBlocksOnceForEachFile) {
  const fs::path tree = state_ / "tree";
  fs::create_directories(tree / "a");
  std::ofstream(tree / "a/file") << std::string(1 << 20, 'x');
  const uint64_t before = Measured(tree).bytes;
  EXPECT_GE(before, 1U << 20);
  fs::create_hard_link(tree / "a/file", tree / "again");
  fs::create_symlink("/usr", tree / "elsewhere");
  std::ofstream(tree / "holes") << "x";
  fs::resize_file(tree / "holes", uintmax_t{1} << 40);
  const DiskUse use = Measured(tree);
  EXPECT_TRUE(use.complete);
  EXPECT_EQ(use.inodes, 5U);
  EXPECT_LT(use.bytes, before + (1U << 20));
}

TEST_F(TemplatesFolder, MeasuringEndsAtItsBounds) {
  const fs::path tree = state_ / "tree";
  fs::create_directories(tree);
  std::ofstream(tree / "file").close();
  for (int i = 0; i < 300; ++i) fs::create_hard_link(tree / "file", tree / std::to_string(i));
  EXPECT_TRUE(Measured(tree).complete);
  EXPECT_FALSE(Measured(tree, {std::chrono::minutes(1), 100}).complete);
  // Links to one file are no new inodes, but cost time all the same.
  EXPECT_FALSE(Measured(tree, {std::chrono::milliseconds(0), 1'000'000}).complete);
  const fs::path deep = state_ / "deep";
  fs::path at = deep;
  for (int i = 0; i < 300; ++i) at /= "d";
  fs::create_directories(at);
  EXPECT_FALSE(Measured(deep).complete);
  EXPECT_GE(Measured(deep).inodes, 200U);
}

TEST_F(TemplatesFolder, RemovesAllGenerations) {
  Make("web", 1);
  Make("web", 2);
  EXPECT_TRUE(RemoveTemplate(state_, "web"));
  EXPECT_TRUE(fs::is_empty(state_ / "templates"));
  EXPECT_FALSE(RemoveTemplate(state_, "web"));
}

TEST_F(TemplatesFolder, ClearsWhatNobodyIsAtWorkOn) {
  EXPECT_TRUE(RemoveTemplateLeftovers(state_)) << "before there is any template";
  fs::create_directories(state_ / "templates/.building-a-1/1/root/etc");
  fs::create_directories(state_ / "templates/.removing-b-0");
  fs::create_directories(state_ / "templates/.building-busy-1");
  Make("web", 1);
  const auto busy = OpenPath(state_ / "templates/.building-busy-1", O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(::flock(busy->get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_TRUE(RemoveTemplateLeftovers(state_));
  EXPECT_FALSE(fs::exists(state_ / "templates/.building-a-1"));
  EXPECT_FALSE(fs::exists(state_ / "templates/.removing-b-0"));
  EXPECT_TRUE(fs::exists(state_ / "templates/.building-busy-1"));
  EXPECT_TRUE(FindTemplate(state_, "web"));
}

TEST_F(TemplatesFolder, RemovingFollowsNoSymlink) {
  fs::create_directories(state_ / "outside");
  std::ofstream(state_ / "outside/precious") << "x";
  fs::create_directories(state_ / "tree/inner");
  fs::create_directory_symlink(state_ / "outside", state_ / "tree/link");
  fs::create_directory_symlink("../../outside", state_ / "tree/inner/link");
  EXPECT_TRUE(RemoveTree(state_ / "tree"));
  EXPECT_FALSE(fs::exists(state_ / "tree"));
  EXPECT_TRUE(fs::exists(state_ / "outside/precious"));
  EXPECT_TRUE(RemoveTree(state_ / "tree")) << "what is gone is no error";
}

TEST_F(TemplatesFolder, RemovingGoesAsDeepAsATreeIs) {
  fs::create_directory(state_ / "deep");
  UniqueFd at(::open((state_ / "deep").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int depth = 0; depth < 3000; ++depth) {
    ASSERT_EQ(::mkdirat(at.get(), "d", 0755), 0);
    at.Reset(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(at);
  }
  const Status removed = RemoveTree(state_ / "deep");
  EXPECT_TRUE(removed) << removed.error().Message();
  EXPECT_FALSE(fs::exists(state_ / "deep"));
}

TEST_F(TemplatesFolder, WritingStaysInTheRoot) {
  fs::create_directories(state_ / "root");
  fs::create_directories(state_ / "outside");
  const auto root = OpenPath(state_ / "root", O_RDONLY | O_DIRECTORY);
  const RootWriter writer(root->get());
  ASSERT_EQ(::symlinkat("../outside", root->get(), "etc"), 0);
  EXPECT_TRUE(writer.File("etc/rc", "x", 0755)) << "a planted link is replaced by a directory";
  EXPECT_TRUE(fs::is_empty(state_ / "outside"));
  EXPECT_TRUE(fs::is_regular_file(state_ / "root/etc/rc"));
  EXPECT_FALSE(writer.Has("../outside"));
}

}  // namespace
}  // namespace bailey::tenants
