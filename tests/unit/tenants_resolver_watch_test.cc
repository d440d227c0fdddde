#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/files.h"
#include "tenants/resolver_watch.h"

namespace bailey::tenants {
namespace {

class ResolverWatchTest : public testing::Test {
 protected:
  ResolverWatchTest() {
    std::string pattern = "/tmp/bailey-resolver-XXXXXX";
    dir_ = ::mkdtemp(pattern.data());
    Write("resolv.conf", "192.0.2.1");
    loop_ = std::make_unique<EventLoop>(std::move(*EventLoop::Create()));
    auto started = ResolverWatch::Start(
        *loop_, {dir_ + "/resolv.conf"},
        [this] { return ParseResolvConf(ReadFile(dir_ + "/resolv.conf").value()); },
        [this] { ++changes_; });
    EXPECT_TRUE(started);
    watch_ = std::move(*started);
  }
  ~ResolverWatchTest() override { std::filesystem::remove_all(dir_); }

  void Write(const std::string& name, const std::string& server) const {
    std::ofstream(dir_ + "/" + name) << "nameserver " << server << "\n";
  }
  bool Changes(int to) {
    for (int i = 0; i < 100 && changes_ < to; ++i) loop_->RunOnce(std::chrono::milliseconds(20));
    return changes_ == to;
  }
  void Idle() {
    for (int i = 0; i < 15; ++i) loop_->RunOnce(std::chrono::milliseconds(20));
  }

  std::string dir_;
  int changes_ = 0;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<ResolverWatch> watch_;
};

TEST_F(ResolverWatchTest, TellsOfAFileThatIsWritten) {
  Write("resolv.conf", "192.0.2.2");
  EXPECT_TRUE(Changes(1));
}

TEST_F(ResolverWatchTest, TellsOfAFileThatIsReplaced) {
  for (int i = 1; i <= 3; ++i) {
    Write("new", "192.0.2.1" + std::to_string(i));
    std::filesystem::rename(dir_ + "/new", dir_ + "/resolv.conf");
    EXPECT_TRUE(Changes(i));
  }
}

TEST_F(ResolverWatchTest, FollowsALinkThatLeadsElsewhereByNow) {
  std::filesystem::create_directory(dir_ + "/other");
  Write("other/resolv.conf", "192.0.2.7");
  std::filesystem::create_symlink("other/resolv.conf", dir_ + "/new");
  std::filesystem::rename(dir_ + "/new", dir_ + "/resolv.conf");
  ASSERT_TRUE(Changes(1));
  Write("other/resolv.conf", "192.0.2.8");
  EXPECT_TRUE(Changes(2));
}

TEST_F(ResolverWatchTest, SaysNothingOfWhatDoesNotMatter) {
  Write("resolv.conf", "192.0.2.1");           // the same
  Write("hosts", "192.0.2.9");                 // another file
  std::ofstream empty(dir_ + "/resolv.conf");  // being written: none at all is no news
  empty.close();
  Idle();
  EXPECT_EQ(changes_, 0);
}

}  // namespace
}  // namespace bailey::tenants
