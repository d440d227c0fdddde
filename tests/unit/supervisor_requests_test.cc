// What comes over sockets, as values: baileyd's requests, and the proxy's, which may be hostile.
#include <gtest/gtest.h>

#include "supervisor/control_request.h"
#include "supervisor/proxy_message.h"

namespace bailey::supervisor {
namespace {

TEST(ProxyMessage, TakesWhatTheContractNames) {
  const auto keep = ParseProxyMessage(R"({"op":"keep","names":["bpf.link","listener:80"]})", 2);
  ASSERT_TRUE(keep);
  EXPECT_EQ(std::get<KeepRequest>(*keep).names.size(), 2U);
  EXPECT_TRUE(std::holds_alternative<ReadyReport>(*ParseProxyMessage(R"({"op":"ready"})", 0)));
  const auto listener = ParseProxyMessage(R"({"op":"listener","port":"80"})", 0);
  ASSERT_TRUE(listener);
  EXPECT_EQ(std::get<ListenerRequest>(*listener).port.ToString(), "80");
  const auto udp = ParseProxyMessage(R"({"op":"listener","port":"53/udp"})", 0);
  ASSERT_TRUE(udp);
  EXPECT_EQ(std::get<ListenerRequest>(*udp).port, (PublishedPort{Transport::kUdp, 53}));
  const auto gone = ParseProxyMessage(R"({"op":"unlisten","port":"65535"})", 0);
  ASSERT_TRUE(gone);
  EXPECT_EQ(std::get<UnlistenRequest>(*gone).port.port, 65535);
  const auto inside = ParseProxyMessage(R"({"op":"inside","count":64})", 0);
  ASSERT_TRUE(inside);
  EXPECT_EQ(std::get<InsideRequest>(*inside).count, 64U);
}

TEST(ProxyMessage, RefusesEverythingElse) {
  struct {
    const char* text;
    size_t fds;
  } const cases[] = {
      {"", 0},
      {"[]", 0},
      {"{", 0},
      {R"({"op":7})", 0},
      {R"({"op":"exec"})", 0},
      {R"({"op":"ready"})", 1},               // a descriptor smuggled in
      {R"({"op":"keep","names":["a"]})", 0},  // a name without one
      {R"({"op":"keep","names":[]})", 0},
      {R"({"op":"keep","names":["../a"]})", 1},
      {R"({"op":"keep","names":["a=b"]})", 1},  // would be read as another argument
      {R"({"op":"keep","names":[1]})", 1},
      {R"({"op":"listener"})", 0},
      {R"({"op":"listener","port":80})", 0},
      {R"({"op":"listener","port":"65536"})", 0},
      {R"({"op":"listener","port":"-1"})", 0},
      {R"({"op":"listener","port":"0"})", 0},
      {R"({"op":"listener","port":"80-81"})", 0},
      {R"({"op":"listener","port":"80/sctp"})", 0},
      {R"({"op":"listener","port":"127.0.0.1:80"})", 0},
      {R"({"op":"listener","port":"80.5"})", 0},
      {R"({"op":"inside","count":0})", 0},
      {R"({"op":"inside","count":65})", 0},
  };
  for (const auto& each : cases)
    EXPECT_FALSE(ParseProxyMessage(each.text, each.fds)) << each.text << " +" << each.fds;
}

TEST(ControlRequest, ReadsExec) {
  const auto request = ParseControlRequest(
      R"({"op":"exec","argv":["ls","-l"],"env":["A=b"],"cwd":"/srv","user":"www","tty":true,)"
      R"("rows":40,"cols":100,"program":true})");
  ASSERT_TRUE(request);
  const auto& exec = std::get<ExecRequest>(*request);
  EXPECT_EQ(exec.argv, (std::vector<std::string>{"ls", "-l"}));
  EXPECT_EQ(exec.env, std::vector<std::string>{"A=b"});
  EXPECT_EQ(exec.cwd, "/srv");
  EXPECT_EQ(exec.user, "www");
  EXPECT_TRUE(exec.tty);
  EXPECT_TRUE(exec.program);
  EXPECT_EQ(exec.rows, 40);
  EXPECT_EQ(exec.cols, 100);
}

TEST(ControlRequest, ReadsTheOthers) {
  EXPECT_TRUE(
      std::get<WaitRequest>(*ParseControlRequest(R"({"op":"wait","for":"running"})")).for_running);
  EXPECT_FALSE(std::get<StopRequest>(*ParseControlRequest(R"({"op":"stop"})")).timeout);
  EXPECT_EQ(std::get<StopRequest>(*ParseControlRequest(R"({"op":"stop","timeoutMs":50})")).timeout,
            std::chrono::milliseconds(50));
  const auto set = ParseControlRequest(R"({"op":"set","limits":{"pids":9},"publish":[80]})");
  ASSERT_TRUE(set);
  EXPECT_EQ(std::get<SetRequest>(*set).limits, R"({"pids":9})");
  EXPECT_FALSE(std::get<SetRequest>(*set).network);
  EXPECT_EQ(std::get<SetRequest>(*set).publish->value(), std::vector<PublishRule>{80});
  const auto more = ParseControlRequest(R"({"op":"set","publish":["53/udp","8000-8099"]})");
  ASSERT_TRUE(more);
  EXPECT_EQ(std::get<SetRequest>(*more).publish->value(),
            (std::vector<PublishRule>{{Transport::kUdp, 53, 53}, {Transport::kTcp, 8000, 8099}}));
  const auto all = ParseControlRequest(R"({"op":"set","publish":null})");
  ASSERT_TRUE(all);
  EXPECT_TRUE(std::get<SetRequest>(*all).publish.has_value());
  EXPECT_FALSE(std::get<SetRequest>(*all).publish->has_value());
}

TEST(ControlRequest, RefusesMistakes) {
  for (const char* text :
       {"", "7", R"({})", R"({"op":"launch"})", R"({"op":"status","x":1})",
        R"({"op":"wait","for":"lunch"})", R"({"op":"exec","argv":[]})",
        R"({"op":"exec","argv":"ls"})", R"({"op":"exec","argv":["a"],"rows":70000})",
        R"({"op":"exec","argv":["a\u0000b"]})", R"({"op":"exec","argv":["a"],"tty":1})",
        R"({"op":"stop","timeoutMs":-1})", R"({"op":"set","limits":[]})",
        R"({"op":"set","publish":[0]})"})
    EXPECT_FALSE(ParseControlRequest(text)) << text;
}

TEST(ControlRequest, StatusTellsTheFailure) {
  TenantStatus status;
  status.state = TenantState::kFailed;
  status.failure = TenantFailure{"root", Errno("mount", EPERM).WithHint("be root")};
  const std::string reply = StatusReply(status);
  for (const char* part : {R"("state":"failed")", R"("errno":1)", R"("stage":"root")",
                           R"("hint":"be root")", R"("lastExit":null)"})
    EXPECT_NE(reply.find(part), std::string::npos) << reply;
}

}  // namespace
}  // namespace bailey::supervisor
