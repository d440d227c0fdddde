// The console log: nothing lost, the file bounded, a flood slowed down instead of stopped.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "base/files.h"
#include "supervisor/console_log.h"

namespace bailey::supervisor {
namespace {

using std::chrono::milliseconds;

class ConsoleLogTest : public testing::Test {
 protected:
  ConsoleLogTest() {
    std::string pattern = testing::TempDir() + "console-XXXXXX";
    dir_ = ::mkdtemp(pattern.data());
    loop_.emplace(*EventLoop::Create());
    log_ = *ConsoleLog::Open(*loop_, Path(), ::getuid());
  }
  ~ConsoleLogTest() override {
    log_.reset();
    ::unlink(Path().c_str());
    ::unlink((Path() + ".1").c_str());
    ::rmdir(dir_.c_str());
  }
  std::string Path() const { return dir_ + "/console.log"; }
  static size_t Size(const std::string& path) {
    struct stat seen {};
    return ::stat(path.c_str(), &seen) == 0 ? static_cast<size_t>(seen.st_size) : 0;
  }
  void Print(std::string_view text) const {
    ASSERT_TRUE(WriteAll(log_->write_end(), text));
    loop_->RunOnce(milliseconds(1000));
  }
  std::string dir_;
  mutable std::optional<EventLoop> loop_;
  std::unique_ptr<ConsoleLog> log_;
};

TEST_F(ConsoleLogTest, KeepsWhatIsPrinted) {
  Print("one\n");
  Print("two\n");
  EXPECT_EQ(*ReadFile(Path()), "one\ntwo\n");
}

TEST_F(ConsoleLogTest, DrainTakesTheLastWords) {
  ASSERT_TRUE(WriteAll(log_->write_end(), "last\n"));
  log_->CloseWriteEnd();
  log_->Drain();
  EXPECT_EQ(*ReadFile(Path()), "last\n");
}

TEST_F(ConsoleLogTest, TurnsTheFileOverAtItsCap) {
  const std::string block(16384, 'x');
  for (size_t bytes = 0; bytes < ConsoleLog::kFileBytes + block.size(); bytes += block.size())
    Print(block);
  EXPECT_EQ(Size(Path() + ".1"), ConsoleLog::kFileBytes);
  EXPECT_EQ(Size(Path()), block.size());
}

TEST_F(ConsoleLogTest, AFloodWaitsInThePipe) {
  const int end = log_->write_end();
  ASSERT_EQ(::fcntl(end, F_SETFL, O_NONBLOCK), 0);
  const std::string block(16384, 'x');
  size_t printed = 0;
  // As much as it takes until the pipe stays full although the loop runs.
  for (int stuck = 0; stuck < 20;) {
    const ssize_t n = ::write(end, block.data(), block.size());
    stuck = n > 0 ? 0 : stuck + 1;
    printed += n > 0 ? static_cast<size_t>(n) : 0;
    loop_->RunOnce(milliseconds(0));
    ASSERT_LT(printed, 4 * ConsoleLog::kBytesPerSecond) << "never slowed down";
  }
  // A second later it goes on.
  ssize_t n = -1;
  for (int i = 0; i < 40 && n < 0; ++i) {
    loop_->RunOnce(milliseconds(100));
    n = ::write(end, block.data(), block.size());
  }
  EXPECT_GT(n, 0);
}

TEST_F(ConsoleLogTest, RefusesASymlinkInItsPlace) {
  ::unlink(Path().c_str());
  ASSERT_EQ(::symlink("/etc/hostname", Path().c_str()), 0);
  EXPECT_EQ(ConsoleLog::Open(*loop_, Path(), ::getuid()).error().Errno(), ELOOP);
}

}  // namespace
}  // namespace bailey::supervisor
