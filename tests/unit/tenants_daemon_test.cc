// The parts of the daemon that stand by themselves: background work, removals, ports, the lock.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/files.h"
#include "tenants/background.h"
#include "tenants/instance.h"
#include "tenants/removal.h"
#include "tenants/tenant_item.h"

namespace bailey::tenants {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Directories : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(::mkdtemp(dir_.data()), nullptr);
    paths_.state = dir_ + "/state";
    paths_.runtime = dir_ + "/run";
    config_.metrics.reset();
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::string dir_ = "/tmp/bailey-daemon.XXXXXX";
  Paths paths_;
  DaemonConfig config_;
};

TEST(Background, DeliversOutcomesOnTheLoop) {
  auto loop = EventLoop::Create();
  ASSERT_TRUE(loop);
  auto background = Background::Create(*loop);
  ASSERT_TRUE(background);
  const auto main_thread = std::this_thread::get_id();
  std::vector<std::string> said;
  (*background)
      ->Run(
          [main_thread]() -> Status {
            if (std::this_thread::get_id() == main_thread) return Invalid("on the loop's thread");
            return {};
          },
          [&](const Status& outcome) { said.push_back(outcome ? "first" : "wrong thread"); });
  (*background)
      ->Run([]() -> Status { return Invalid("broken"); },
            [&](const Status& outcome) {
              said.push_back(outcome.error().context);
              EXPECT_EQ(std::this_thread::get_id(), main_thread);
              loop->Stop();
            });
  loop->Run();
  EXPECT_THAT(said, ElementsAre("first", "broken"));
}

TEST_F(Directories, ARemovalCountsFromItsRenameOn) {
  ASSERT_TRUE(MakeDirectories(paths_.TenantState("alice") + "/upper/etc", 0755));
  ASSERT_TRUE(MakeDirectories(paths_.TenantState("bob"), 0755));
  EXPECT_TRUE(HalfRemovedTenants(paths_).empty());
  const auto moved = MoveTenantAway(paths_, "alice");
  ASSERT_TRUE(moved) << moved.error().Message();
  EXPECT_FALSE(std::filesystem::exists(paths_.TenantState("alice")));
  // A daemon that is killed here finds out at its next start.
  EXPECT_THAT(HalfRemovedTenants(paths_), ElementsAre("alice"));
  // One of the same name that is made meanwhile is not mistaken for it, and gets its own place.
  ASSERT_TRUE(MakeDirectories(paths_.TenantState("alice"), 0755));
  EXPECT_TRUE(HalfRemovedTenants(paths_).empty());
  const auto again = MoveTenantAway(paths_, "alice");
  ASSERT_TRUE(again);
  EXPECT_NE(*again, *moved);
  ASSERT_TRUE(RemoveMoved(*moved));
  ASSERT_TRUE(RemoveAllMoved(paths_));
  EXPECT_TRUE(std::filesystem::is_empty(paths_.state + "/removing"));
  EXPECT_TRUE(std::filesystem::exists(paths_.TenantState("bob")));
  // One that never started has nothing.
  EXPECT_EQ(*MoveTenantAway(paths_, "carol"), "");
  EXPECT_TRUE(RemoveMoved(""));
}

TEST_F(Directories, OneDaemonPerRuntimeDirectory) {
  auto first = TakeInstance(paths_, config_);
  ASSERT_TRUE(first) << first.error().Message();
  const auto second = TakeInstance(paths_, config_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, std::errc::device_or_resource_busy);
  EXPECT_THAT(second.error().context, HasSubstr(std::to_string(::getpid())));
  struct stat status {};
  ASSERT_EQ(::stat(paths_.ApiSocket().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  ASSERT_EQ(::stat(paths_.state.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700U);
  first->lock.Reset();
  EXPECT_TRUE(TakeInstance(paths_, config_));
}

TEST_F(Directories, AMetricsAddressThatIsTakenIsNamed) {
  const UniqueFd holder(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(0x7f4d0001);
  ASSERT_EQ(::bind(holder.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(holder.get(), 1), 0);
  socklen_t length = sizeof address;
  ::getsockname(holder.get(), reinterpret_cast<sockaddr*>(&address), &length);
  config_.metrics = Endpoint{IpAddress::V4(0x7f4d0001), ntohs(address.sin_port)};
  const auto instance = TakeInstance(paths_, config_);
  ASSERT_FALSE(instance);
  EXPECT_THAT(instance.error().context, HasSubstr("127.77.0.1:"));
  EXPECT_FALSE(instance.error().hint.empty());
}

TEST(Times, AreRfc3339InUtc) {
  EXPECT_EQ(FormatTime(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(FormatTime(1700000000.25), "2023-11-14T22:13:20.250Z");
}

}  // namespace
}  // namespace bailey::tenants
