#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "base/files.h"
#include "base/log.h"
#include "base/log_file.h"

namespace bailey {
namespace {

using testing::EndsWith;

class BoundedLog : public testing::Test {
 protected:
  static constexpr size_t kBytes = 4096;

  void SetUp() override { ASSERT_NE(::mkdtemp(folder_.data()), nullptr); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string Path() const { return folder_ + "/log"; }

  // In a process of its own, whose stderr the log is.
  void InLog(const std::function<void()>& body) const {
    const pid_t child = ::fork();
    if (child == 0) {
      const auto file = OpenLogFile(Path());
      ::dup2(file->get(), STDERR_FILENO);
      BoundLog(Path(), kBytes);
      body();
      ::_exit(0);
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }

  std::string folder_ = std::filesystem::temp_directory_path() / "bailey-log-XXXXXX";
};

TEST_F(BoundedLog, IsTurnedAndKeepsOneOldFile) {
  InLog([] {
    for (int i = 0; i < 1000; ++i) LogInfo("line " + std::to_string(i));
  });
  EXPECT_LE(std::filesystem::file_size(Path()), kBytes);
  EXPECT_LE(std::filesystem::file_size(Path() + ".1"), kBytes + 100);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 2);
  const std::string both = *ReadFile(Path() + ".1") + *ReadFile(Path());
  EXPECT_THAT(both, EndsWith("line 999\n"));
  EXPECT_NE(both.find("line 960\n"), std::string::npos);
}

TEST_F(BoundedLog, IsTurnedAtOnceIfItWasTooLong) {
  ASSERT_TRUE(WriteAll(OpenLogFile(Path())->get(), std::string(2 * kBytes, 'x')));
  InLog([] { LogForeign("of \x1b[31manother\n"); });
  EXPECT_EQ(std::filesystem::file_size(Path() + ".1"), 2 * kBytes);
  EXPECT_EQ(*ReadFile(Path()), "of  [31manother\n");
}

}  // namespace
}  // namespace bailey
