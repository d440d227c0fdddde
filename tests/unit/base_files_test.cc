#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <filesystem>

#include "base/child_process.h"
#include "base/files.h"

namespace bailey {
namespace {

class Files : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(folder_.data()), nullptr); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_ = std::filesystem::temp_directory_path() / "bailey-files-XXXXXX";
};

TEST_F(Files, NothingLeavesTheRoot) {
  ASSERT_EQ(::symlink("/etc/passwd", (folder_ + "/absolute").c_str()), 0);
  ASSERT_EQ(::symlink("../../etc/passwd", (folder_ + "/up").c_str()), 0);
  ASSERT_EQ(::symlink("inside", (folder_ + "/good").c_str()), 0);
  ASSERT_TRUE(ReplaceFile(folder_ + "/inside", "x", 0644));
  const auto root = OpenPath(folder_, O_PATH | O_DIRECTORY);
  ASSERT_TRUE(root);
  for (const char* path : {"absolute", "up", "../x", "/etc/passwd", "inside/../../x"})
    EXPECT_FALSE(OpenBeneath(root->get(), path, O_RDONLY)) << path;
  EXPECT_TRUE(OpenBeneath(root->get(), "good", O_RDONLY));
  EXPECT_EQ(OpenBeneathNoSymlinks(root->get(), "good", O_RDONLY).error().Errno(), ELOOP);
}

TEST_F(Files, ReplaceIsWholeAndLeavesNothing) {
  const std::string path = folder_ + "/file";
  ASSERT_TRUE(ReplaceFile(path, "one", 0640));
  ASSERT_TRUE(ReplaceFile(path, "two", 0600));
  EXPECT_EQ(*ReadFile(path), "two");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
  EXPECT_FALSE(ReplaceFile(folder_ + "/missing/file", "x", 0600));
  EXPECT_EQ(ReadFile(path, 2).error().Errno(), EFBIG);
}

TEST_F(Files, AChildGetsItsDescriptorsAndNoOthers) {
  const std::string out = folder_ + "/out";
  const UniqueFd file(::open(out.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  const UniqueFd leaked(::dup(file.get()));  // on purpose without O_CLOEXEC
  auto child = SpawnChild({.argv = {"/bin/sh", "-c", "echo /proc/self/fd/*; test -z \"$HOME\""},
                           .env = {"PATH=/bin:/usr/bin"},
                           .fds = {{file.get(), 1}, {file.get(), 7}}});
  ASSERT_TRUE(child) << child.error().Message();
  int status = -1;
  ASSERT_EQ(::waitpid(child->pid, &status, 0), child->pid);
  EXPECT_EQ(status, 0);
  const std::string listed = *ReadFile(out);
  EXPECT_NE(listed.find("/proc/self/fd/7"), std::string::npos);
  EXPECT_EQ(listed.find("/proc/self/fd/" + std::to_string(leaked.get()) + " "), std::string::npos)
      << listed;
}

TEST_F(Files, AChildThatCannotStartIsReported) {
  auto child = SpawnChild({.argv = {folder_ + "/missing"}});
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().Errno(), ENOENT);
}

}  // namespace
}  // namespace bailey
