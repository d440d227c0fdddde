// The core as the API child meets it: operations, refusals, and a child in a stranger's hands. No
// tenant runs here; tests/e2e has those that do.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <filesystem>

#include "base/files.h"
#include "tenants/core.h"
#include "tenants/templates/template_store.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(::mkdtemp(dir_.data()), nullptr);
    host_.paths.config = dir_ + "/bailey.toml";
    host_.paths.state = dir_ + "/state";
    host_.paths.runtime = dir_ + "/run";
    ASSERT_TRUE(MakeDirectories(host_.paths.state + "/tenants", 0700));
    ASSERT_TRUE(MakeDirectories(host_.paths.runtime, 0700));
    MakeTemplate("busybox");
    loop_.emplace(std::move(*EventLoop::Create()));
    store_.emplace(std::move(*Store::Open(host_.paths.Database())));
    background_ = std::move(*Background::Create(*loop_));
    auto cgroups = supervisor::CgroupHost::Detect();
    ASSERT_TRUE(cgroups) << cgroups.error().Message();
    sampler_.emplace(std::move(*cgroups));
    fleet_.emplace(*loop_, *store_, host_, *background_);
    meter_.emplace(*background_);
    core_.emplace(*loop_, *store_, host_, *background_, *fleet_, *sampler_, *meter_);
    bool ready = false;
    ASSERT_TRUE(fleet_->Load([&ready] { ready = true; }));
    while (!ready) loop_->RunOnce(std::chrono::seconds(10));
  }
  void TearDown() override {
    core_.reset();
    fleet_.reset();
    background_.reset();
    std::filesystem::remove_all(dir_);
  }

  void MakeTemplate(const std::string& name) const {
    const std::string directory = host_.paths.state + "/templates/" + name + "/1";
    ASSERT_TRUE(MakeDirectories(directory + "/root", 0755));
    Template made;
    made.name = name;
    made.generation = 1;
    made.kind = "busybox";
    made.created = "2026-01-01T00:00:00Z";
    made.source = "test";
    ASSERT_TRUE(ReplaceFile(directory + "/template.json", made.ToJson(), 0644));
  }

  CoreReply Ask(const std::string& op, const std::string& tenant, json::object args,
                std::vector<UniqueFd> fds = {}) {
    std::optional<CoreReply> got;
    CoreRequest request{++id_, op, tenant, std::move(args), std::move(fds)};
    core_->Handle(std::move(request), -1, [&](CoreReply reply) { got = std::move(reply); });
    while (!got) loop_->RunOnce(std::chrono::seconds(10));
    EXPECT_EQ(got->id, id_);
    return std::move(*got);
  }
  CoreReply Create(const std::string& name, const std::string& ip,
                   const std::string& base = "busybox") {
    json::object tenant{{"name", name}, {"ip", ip}, {"template", base}};
    return Ask("tenants.create", "", {{"spec", json::object{{"tenant", tenant}}}});
  }

  std::string dir_ = "/tmp/bailey-core.XXXXXX";
  Host host_;
  std::optional<EventLoop> loop_;
  std::optional<Store> store_;
  std::unique_ptr<Background> background_;
  std::optional<Sampler> sampler_;
  std::optional<Fleet> fleet_;
  std::optional<LayerMeter> meter_;
  std::optional<Core> core_;
  uint64_t id_ = 0;
};

#define EXPECT_REFUSED(reply, expected, text)                           \
  do {                                                                  \
    const CoreReply& refused = (reply);                                 \
    ASSERT_TRUE(refused.error.has_value());                             \
    EXPECT_EQ(refused.error->code, expected) << refused.error->message; \
    EXPECT_THAT(refused.error->message, HasSubstr(text));               \
  } while (false)

TEST_F(CoreTest, CreatesShowsListsAndRemoves) {
  const CoreReply made = Create("alice", "203.0.113.7");
  ASSERT_FALSE(made.error) << made.error->message;
  EXPECT_EQ(made.kind, "Tenant");
  EXPECT_EQ(made.items[0].at("state"), "defined");
  EXPECT_EQ(made.items[0].at("uidBase"), 1048576);
  EXPECT_EQ(Ask("tenants.show", "alice", {}).items, made.items);
  EXPECT_EQ(Ask("tenants.list", "", {}).items.size(), 1U);
  // It has files by the time it is removed.
  ASSERT_TRUE(MakeDirectories(host_.paths.TenantState("alice") + "/upper/etc", 0755));
  EXPECT_FALSE(Ask("tenants.remove", "alice", {}).error);
  EXPECT_TRUE(Ask("tenants.list", "", {}).items.empty());
  EXPECT_TRUE(std::filesystem::is_empty(host_.paths.state + "/tenants"));
  EXPECT_TRUE(std::filesystem::is_empty(host_.paths.state + "/removing"));
  EXPECT_REFUSED(Ask("tenants.show", "alice", {}), ApiCode::kNotFound, "alice");
}

TEST_F(CoreTest, RefusesConflictsAndNamesTheHolder) {
  ASSERT_FALSE(Create("alice", "203.0.113.7").error);
  EXPECT_REFUSED(Create("bob", "203.0.113.7"), ApiCode::kExists, "tenant alice");
  EXPECT_REFUSED(Create("bob", "::ffff:203.0.113.7"), ApiCode::kExists, "tenant alice");
  EXPECT_REFUSED(Create("alice", "203.0.113.8"), ApiCode::kExists, "alice");
  EXPECT_REFUSED(Create("bob", "203.0.113.8", "nothere"), ApiCode::kNotFound, "template nothere");
  EXPECT_EQ(Ask("tenants.list", "", {}).items.size(), 1U);
}

TEST_F(CoreTest, ChangesAllKeysOrNone) {
  ASSERT_FALSE(Create("alice", "203.0.113.7").error);
  ASSERT_FALSE(Create("bob", "203.0.113.8").error);
  const CoreReply set = Ask("tenants.set", "alice", {{"limits.memory", "1G"}, {"limits.pids", 9}});
  ASSERT_FALSE(set.error) << set.error->message;
  EXPECT_EQ(set.items[0].at("limits").at("memory"), 1 << 30);
  EXPECT_REFUSED(Ask("tenants.set", "alice", {{"limits.pids", 10}, {"limits.memory", "much"}}),
                 ApiCode::kUsage, "much");
  EXPECT_EQ(Ask("tenants.show", "alice", {}).items[0].at("limits").at("pids"), 9);
  EXPECT_REFUSED(Ask("tenants.set", "alice", {{"limits.colour", "red"}}), ApiCode::kUsage,
                 "colour");
  EXPECT_REFUSED(Ask("tenants.set", "alice", {{"tenant.name", "eve"}}), ApiCode::kUsage, "name");
  EXPECT_REFUSED(Ask("tenants.set", "alice", {{"tenant.template", "x"}}), ApiCode::kUsage,
                 "template");
  EXPECT_REFUSED(Ask("tenants.set", "alice", {{"tenant.ip", nullptr}}), ApiCode::kUsage, "missing");
  EXPECT_REFUSED(Ask("tenants.set", "alice", {{"tenant.plan", "nothere"}}), ApiCode::kNotFound,
                 "nothere");
  EXPECT_REFUSED(Ask("tenants.set", "alice", {{"tenant.ip", "203.0.113.8"}}), ApiCode::kExists,
                 "bob");
  EXPECT_FALSE(Ask("tenants.set", "alice", {{"tenant.ip", "203.0.113.9"}}).error);
  EXPECT_EQ(Ask("tenants.show", "alice", {}).items[0].at("ip"), "203.0.113.9");
}

TEST_F(CoreTest, ATemplateInUseStays) {
  MakeTemplate("spare");
  ASSERT_FALSE(Create("alice", "203.0.113.7").error);
  EXPECT_REFUSED(Ask("templates.remove", "", {{"name", "busybox"}}), ApiCode::kInUse, "alice");
  ASSERT_FALSE(Create("bob", "203.0.113.8").error);
  EXPECT_REFUSED(Ask("templates.remove", "", {{"name", "busybox"}}), ApiCode::kInUse,
                 "tenants alice and bob");
  EXPECT_REFUSED(Ask("templates.remove", "", {{"name", "../tenants"}}), ApiCode::kUsage, "name");
  EXPECT_REFUSED(Ask("templates.remove", "", {{"name", "nothere"}}), ApiCode::kNotFound, "nothere");
  EXPECT_FALSE(Ask("templates.remove", "", {{"name", "spare"}}).error);
  EXPECT_EQ(Ask("templates.list", "", {}).items.size(), 1U);
}

TEST_F(CoreTest, ShowsTheLayersOfARoot) {
  ASSERT_FALSE(Create("alice", "203.0.113.7").error);
  const std::string upper = host_.paths.TenantState("alice") + "/upper";
  ASSERT_TRUE(MakeDirectories(upper + "/srv", 0755));
  ASSERT_TRUE(ReplaceFile(upper + "/srv/file", std::string(100'000, 'x'), 0644));
  const CoreReply shown = Ask("tenants.fs", "alice", {});
  ASSERT_FALSE(shown.error) << shown.error->message;
  const json::object& item = shown.items[0].as_object();
  EXPECT_TRUE(item.at("counters").is_null());  // it does not run
  const json::array& layers = item.at("layers").as_array();
  ASSERT_EQ(layers.size(), 2U);
  EXPECT_EQ(layers[0].at("kind"), "upper");
  EXPECT_EQ(layers[0].at("path"), json::string(upper));
  EXPECT_GE(layers[0].at("bytes").as_uint64(), 100'000U);
  EXPECT_EQ(layers[0].at("inodes"), 3);
  EXPECT_TRUE(layers[0].at("complete").as_bool());
  // This template was made by hand, so it had to be measured, too.
  EXPECT_EQ(layers[1].at("kind"), "template");
  EXPECT_EQ(layers[1].at("name"), "busybox@1");
  EXPECT_EQ(layers[1].at("inodes"), 1);
  // What was measured a moment ago is not measured again.
  ASSERT_TRUE(ReplaceFile(upper + "/srv/more", "x", 0644));
  EXPECT_EQ(Ask("tenants.fs", "alice", {}).items[0].at("layers").at(0), layers[0]);
  EXPECT_REFUSED(Ask("tenants.fs", "bob", {}), ApiCode::kNotFound, "bob");
}

TEST_F(CoreTest, StopsWhatDoesNotRun) {
  ASSERT_FALSE(Create("alice", "203.0.113.7").error);
  EXPECT_EQ(Ask("tenants.stop", "alice", {}).items[0].at("state"), "defined");
}

TEST_F(CoreTest, TellsWhatHappened) {
  ASSERT_FALSE(Create("alice", "203.0.113.7").error);
  ASSERT_FALSE(Ask("tenants.remove", "alice", {}).error);
  std::vector<std::string> kinds;
  for (const json::value& item : Ask("events.list", "", {{"tenant", "alice"}}).items)
    kinds.emplace_back(item.at("kind").as_string());
  EXPECT_THAT(kinds, ElementsAre("created", "removed"));
  EXPECT_EQ(Ask("events.list", "", {{"limit", 1}}).items.size(), 1U);
  EXPECT_REFUSED(Ask("events.list", "", {{"limit", -1}}), ApiCode::kUsage, "limit");
}

TEST_F(CoreTest, LogsAndMetricsAreAttached) {
  ASSERT_FALSE(Create("alice", "203.0.113.7").error);
  const CoreReply log = Ask("tenants.logs", "alice", {});
  ASSERT_EQ(log.attached, Attached::kFile);
  EXPECT_EQ(*ReadAll(log.fd.get()), "");
  const CoreReply page = Ask("metrics", "", {});
  ASSERT_EQ(page.attached, Attached::kText);
  EXPECT_THAT(*ReadAll(page.fd.get()),
              HasSubstr("bailey_tenant_state{tenant=\"alice\",state=\"defined\"} 1"));
}

// The log is opened by the core: a link in its place must not lead the reader to a file of root's.
TEST_F(CoreTest, ALogThatIsALinkIsNotFollowed) {
  ASSERT_FALSE(Create("alice", "203.0.113.7").error);
  ASSERT_TRUE(MakeDirectories(host_.paths.TenantState("alice"), 0700));
  ASSERT_EQ(::symlink("/etc/shadow", host_.paths.ConsoleLog("alice").c_str()), 0);
  EXPECT_TRUE(Ask("tenants.logs", "alice", {}).error.has_value());
}

TEST_F(CoreTest, StrangersGetNothingFromIt) {
  ASSERT_FALSE(Create("alice", "203.0.113.7").error);
  EXPECT_REFUSED(Ask("tenants.own", "alice", {}), ApiCode::kUsage, "no such operation");
  EXPECT_REFUSED(Ask("", "", {}), ApiCode::kUsage, "no such operation");
  for (const char* name : {"", "bob", "../alice", "alice/../alice", "/"}) {
    for (const char* op : {"tenants.show", "tenants.start", "tenants.stop", "tenants.restart",
                           "tenants.remove", "tenants.set", "tenants.exec.check", "tenants.logs"})
      EXPECT_REFUSED(Ask(op, name, {}), ApiCode::kNotFound, "no tenant");
  }
  EXPECT_REFUSED(Ask("tenants.create", "", {}), ApiCode::kUsage, "spec");
  EXPECT_REFUSED(Ask("tenants.create", "", {{"spec", 7}}), ApiCode::kUsage, "spec");
  EXPECT_REFUSED(Create("../x", "203.0.113.9"), ApiCode::kUsage, "tenant name");
  EXPECT_REFUSED(Create("x", "203.0.113.9", "../../etc"), ApiCode::kUsage, "template name");
  EXPECT_REFUSED(Ask("templates.create", "", {{"kind", "tar"}, {"name", "../x"}, {"path", "/x"}}),
                 ApiCode::kUsage, "template name");
}

TEST_F(CoreTest, ExecTakesNothingButAClientsConnection) {
  ASSERT_FALSE(Create("alice", "203.0.113.7").error);
  const json::object ls{{"argv", json::array{"ls"}}};
  EXPECT_REFUSED(Ask("tenants.exec.check", "alice", ls), ApiCode::kFailed, "does not run");
  EXPECT_REFUSED(Ask("tenants.exec", "alice", ls), ApiCode::kUsage, "connection");
  std::vector<UniqueFd> file;
  file.emplace_back(::open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_REFUSED(Ask("tenants.exec", "alice", ls, std::move(file)), ApiCode::kUsage, "connection");
  std::vector<UniqueFd> tcp;
  tcp.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_REFUSED(Ask("tenants.exec", "alice", ls, std::move(tcp)), ApiCode::kUsage, "connection");
}

// After 101 the client reads nothing but the session: that is where it must hear of a failure.
TEST_F(CoreTest, ExecFailuresAreSaidOnTheConnection) {
  std::array<int, 2> pair{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
  const UniqueFd client(pair[0]);
  std::vector<UniqueFd> fds;
  fds.emplace_back(pair[1]);
  EXPECT_REFUSED(Ask("tenants.exec", "nobody", {{"argv", json::array{"ls"}}}, std::move(fds)),
                 ApiCode::kNotFound, "nobody");
  const auto said = ReadAll(client.get());  // to its end: nobody keeps the connection
  ASSERT_TRUE(said);
  EXPECT_THAT(*said, HasSubstr(R"({"exit":126,"error":"there is no tenant nobody")"));
}

}  // namespace
}  // namespace bailey::tenants
