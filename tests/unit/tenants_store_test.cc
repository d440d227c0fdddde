// The store: what survives, what conflicts, and what a crash between intent and act leaves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <filesystem>

#include "tenants/spec_json.h"
#include "tenants/store.h"

namespace bailey::tenants {
namespace {

using ::testing::HasSubstr;

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(dir_.data()), nullptr); }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::string path() const { return dir_ + "/bailey.db"; }
  Store Open() {
    auto store = Store::Open(path());
    EXPECT_TRUE(store) << store.error().Message();
    return std::move(*store);
  }
  static TenantRecord Record(const std::string& name, const std::string& ip) {
    TenantRecord record;
    record.spec.name = name;
    record.spec.ip = *IpAddress::Parse(ip);
    record.spec.template_name = "busybox";
    return record;
  }

 private:
  std::string dir_ = "/tmp/bailey-store.XXXXXX";
};

TEST_F(StoreTest, KeepsEverythingAcrossReopening) {
  TenantRecord record = Record("alice", "203.0.113.7");
  record.spec.pids = 7;
  record.generation = 3;
  {
    Store store = Open();
    ASSERT_TRUE(store.Create(record, 10));
    record.should_run = true;
    record.state = TenantState::kFailed;
    record.state_since = 12.5;
    record.started_at = 11.25;
    record.starts = 4;
    record.error = ApiError{ApiCode::kTimeout, "too slow", "alice", "fs", "try again"};
    ASSERT_TRUE(store.Update(record));
  }
  Store store = Open();
  const auto records = store.Load();
  ASSERT_TRUE(records) << records.error().Message();
  ASSERT_EQ(records->size(), 1U);
  const TenantRecord& found = records->front();
  EXPECT_EQ(found.spec, record.spec);
  EXPECT_EQ(found.generation, 3);
  EXPECT_TRUE(found.should_run);
  EXPECT_EQ(found.state, TenantState::kFailed);
  EXPECT_EQ(found.state_since, 12.5);
  EXPECT_EQ(found.started_at, 11.25);
  EXPECT_EQ(found.starts, 4U);
  EXPECT_EQ(found.error, record.error);
}

TEST_F(StoreTest, ConflictsNameTheHolder) {
  Store store = Open();
  TenantRecord alice = Record("alice", "203.0.113.7");
  TenantRecord bob = Record("bob", "203.0.113.7");
  TenantRecord again = Record("alice", "203.0.113.8");
  ASSERT_TRUE(store.Create(alice, 10));
  const Status taken = store.Create(bob, 10);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, std::errc::file_exists);
  EXPECT_THAT(taken.error().context, HasSubstr("203.0.113.7 belongs to tenant alice"));
  const Status twice = store.Create(again, 10);
  ASSERT_FALSE(twice);
  EXPECT_THAT(twice.error().context, HasSubstr("tenant alice"));
  // A refused creation leaves nothing behind: the address and the slot are free.
  bob = Record("bob", "203.0.113.8");
  ASSERT_TRUE(store.Create(bob, 10));
  EXPECT_EQ(bob.slot, 1U);
  bob.spec.ip = alice.spec.ip;
  EXPECT_FALSE(store.Update(bob));
  EXPECT_EQ(store.Load()->back().spec.ip->ToString(), "203.0.113.8");
}

TEST_F(StoreTest, SlotsAreReusedAndRunOut) {
  Store store = Open();
  for (int i = 0; i < 3; ++i) {
    TenantRecord record = Record("t" + std::to_string(i), "203.0.113." + std::to_string(i + 1));
    ASSERT_TRUE(store.Create(record, 3));
    EXPECT_EQ(record.slot, static_cast<uint32_t>(i));
  }
  TenantRecord more = Record("more", "203.0.113.9");
  const Status full = store.Create(more, 3);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, std::errc::no_space_on_device);
  ASSERT_TRUE(store.Remove("t1"));
  ASSERT_TRUE(store.Create(more, 3));
  EXPECT_EQ(more.slot, 1U);
}

TEST_F(StoreTest, TenantsThatAreNotThere) {
  Store store = Open();
  EXPECT_EQ(store.Remove("alice").error().code, std::errc::no_such_file_or_directory);
  EXPECT_EQ(store.Update(Record("alice", "203.0.113.7")).error().code,
            std::errc::no_such_file_or_directory);
}

// The daemon writes "preparing, should run" and is killed before it acts: the next one knows.
TEST_F(StoreTest, AnIntentOutlivesAKilledDaemon) {
  {
    Store store = Open();
    TenantRecord record = Record("alice", "203.0.113.7");
    ASSERT_TRUE(store.Create(record, 10));
  }
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto store = Store::Open(path());
    auto records = store->Load();
    records->front().state = TenantState::kPreparing;
    records->front().should_run = true;
    if (store->Update(records->front())) ::kill(::getpid(), SIGKILL);
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  Store store = Open();
  const auto records = store.Load();
  ASSERT_TRUE(records);
  EXPECT_EQ(records->front().state, TenantState::kPreparing);
  EXPECT_TRUE(records->front().should_run);
}

TEST_F(StoreTest, EventsFormARing) {
  Store store = Open();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(store.AddEvent(i % 2 == 0 ? "a" : "b", "k", "x"));
  const auto all = store.Events("", 3);
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 3U);
  EXPECT_EQ(all->front().id, 3);
  EXPECT_EQ(all->back().id, 5);
  EXPECT_EQ(store.Events("b", 10)->size(), 2U);
  auto database = Database::Open(path());
  ASSERT_TRUE(database);
  ASSERT_TRUE(database->Execute("UPDATE sqlite_sequence SET seq = 10004 WHERE name = 'events'"));
  ASSERT_TRUE(store.AddEvent("a", "k", "newest"));
  EXPECT_EQ(store.Events("", 100)->size(), 1U);
}

TEST_F(StoreTest, IsRootsAlone) {
  const mode_t old = ::umask(0);
  Store store = Open();
  ::umask(old);
  struct stat status {};
  ASSERT_EQ(::stat(path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST_F(StoreTest, ANewerSchemaIsRefused) {
  { Open(); }
  {
    auto database = Database::Open(path());
    ASSERT_TRUE(database->Execute("PRAGMA user_version = 99"));
  }
  const auto store = Store::Open(path());
  ASSERT_FALSE(store);
  EXPECT_THAT(store.error().context, HasSubstr("newer"));
}

}  // namespace
}  // namespace bailey::tenants
