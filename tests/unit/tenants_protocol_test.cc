// What the API child and the core say to each other, and what a child in a stranger's hands may
// try.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>

#include "base/files.h"
#include "tenants/core_protocol.h"
#include "tenants/exec_request.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;

class Protocol : public ::testing::Test {
 protected:
  void SetUp() override {
    auto pair = MakeMessagePair();
    ASSERT_TRUE(pair);
    pair_ = std::move(*pair);
  }
  int core() const { return pair_.ours.get(); }
  int child() const { return pair_.theirs.get(); }

 private:
  MessagePair pair_;
};

TEST_F(Protocol, RequestsArriveWhole) {
  CoreRequest sent;
  sent.id = 7;
  sent.op = "tenants.exec";
  sent.tenant = "acme";
  sent.args = {{"argv", json::array{"ls"}}};
  sent.fds.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(SendRequest(child(), sent));
  const auto got = ReceiveRequest(core());
  ASSERT_TRUE(got) << got.error().Message();
  EXPECT_EQ(got->id, 7U);
  EXPECT_EQ(got->op, "tenants.exec");
  EXPECT_EQ(got->tenant, "acme");
  EXPECT_EQ(got->args, sent.args);
  EXPECT_EQ(got->fds.size(), 1U);
}

TEST_F(Protocol, NonsenseIsRefused) {
  for (const char* text : {"x", "[]", "{}", R"({"id":"a","op":"x"})", R"({"id":-1,"op":"x"})",
                           R"({"id":1})", R"({"id":1,"op":7})", R"({"id":1,"op":"x","args":[]})"}) {
    ASSERT_TRUE(SendMessage(child(), text));
    const auto got = ReceiveRequest(core());
    ASSERT_FALSE(got) << text;
    EXPECT_EQ(got.error().code, std::errc::bad_message) << text;
  }
}

TEST_F(Protocol, ErrorsKeepEveryField) {
  CoreReply sent;
  sent.id = 3;
  sent.error = ApiError{ApiCode::kInUse, "message", "acme", "net", "hint"};
  ASSERT_TRUE(SendReply(core(), sent));
  const auto got = ReceiveReply(child());
  ASSERT_TRUE(got);
  EXPECT_EQ(got->id, 3U);
  EXPECT_EQ(got->error, sent.error);
}

TEST_F(Protocol, LongRepliesTravelInMemoryThatNobodyCanChange) {
  CoreReply sent;
  sent.id = 4;
  sent.kind = "Tenant";
  for (int i = 0; i < 5000; ++i) sent.items.push_back(json::object{{"name", std::to_string(i)}});
  ASSERT_TRUE(SendReply(core(), sent));
  const auto got = ReceiveReply(child());
  ASSERT_TRUE(got) << got.error().Message();
  EXPECT_EQ(got->items.size(), 5000U);
  EXPECT_EQ(got->items, sent.items);
  const auto memory = SealedText("test", "text");
  ASSERT_TRUE(memory);
  EXPECT_EQ(::write(memory->get(), "x", 1), -1);
  EXPECT_EQ(::ftruncate(memory->get(), 0), -1);
}

TEST_F(Protocol, AttachmentsComeAlong) {
  CoreReply sent;
  sent.id = 5;
  sent.attached = Attached::kText;
  sent.fd = std::move(*SealedText("page", "bailey_up 1\n"));
  ASSERT_TRUE(SendReply(core(), sent));
  const auto got = ReceiveReply(child());
  ASSERT_TRUE(got);
  ASSERT_EQ(got->attached, Attached::kText);
  EXPECT_EQ(*ReadAll(got->fd.get()), "bailey_up 1\n");
}

TEST(ApiErrorCodes, FollowErrno) {
  for (const auto& [number, code] : std::vector<std::pair<int, ApiCode>>{
           {ENOENT, ApiCode::kNotFound},
           {EEXIST, ApiCode::kExists},
           {EPERM, ApiCode::kDenied},
           {EBUSY, ApiCode::kInUse},
           {ETIMEDOUT, ApiCode::kTimeout},
           {ENOSPC, ApiCode::kLimit},
           {EADDRNOTAVAIL, ApiCode::kFailed},
       })
    EXPECT_EQ(ApiError::From(Errno("x", number)).code, code) << number;
  EXPECT_EQ(ApiError::From(Invalid("x")).code, ApiCode::kUsage);
  for (int i = 0; i < 8; ++i) {
    const auto code = static_cast<ApiCode>(i);
    EXPECT_EQ(ParseApiCode(ApiCodeName(code)), code);
  }
}

TEST(ExecRequest, PassesOnWhatWasAskedFor) {
  const auto exec = ExecRequest::FromJson(
      json::parse(R"({"argv":["ls","-l"],"env":["A=b"],"cwd":"/tmp","user":"www","tty":true,
                      "rows":40,"cols":120})")
          .as_object());
  ASSERT_TRUE(exec) << exec.error().Message();
  EXPECT_EQ(json::serialize(exec->ToSupervisor()),
            R"({"op":"exec","argv":["ls","-l"],"env":["A=b"],"tty":true,"cwd":"/tmp",)"
            R"("user":"www","rows":40,"cols":120})");
}

// No client names the program: "program" is the core's word alone.
TEST(ExecRequest, RefusesWhatIsNotAClients) {
  for (const char* body : {
           R"({})",
           R"({"argv":[]})",
           R"({"argv":[""]})",
           R"({"argv":"ls"})",
           R"({"argv":["ls"],"program":true})",
           R"({"argv":["ls"],"op":"stop"})",
           R"({"argv":["l\u0000s"]})",
           R"({"argv":["ls"],"env":["A"]})",
           R"({"argv":["ls"],"env":["=A"]})",
           R"({"argv":["ls"],"tty":1})",
           R"({"argv":["ls"],"rows":-1})",
           R"({"argv":["ls"],"rows":100000})",
       })
    EXPECT_FALSE(ExecRequest::FromJson(json::parse(body).as_object())) << body;
  const auto probe = ExecRequest::FromJson({{"probe", true}});
  ASSERT_TRUE(probe);
  EXPECT_EQ(probe->ToSupervisor().at("program"), true);
}

TEST(SessionError, IsOneLine) {
  EXPECT_EQ(SessionError(126, "no\nway"), "{\"exit\":126,\"error\":\"no\\nway\"}\n");
}

}  // namespace
}  // namespace bailey::tenants
