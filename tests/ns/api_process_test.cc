// bailey-api itself behind its walls, with the test as the core and as the clients.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

#include "base/child_process.h"
#include "base/files.h"
#include "tenants/core_protocol.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

std::string Program() {
  const char* bin = std::getenv("BAILEY_BIN");
  return std::string(bin != nullptr ? bin : "build/dev/bin") + "/bailey-api";
}

// What comes until the peer closes, at most `wait` after the last byte; "…" when it did not close.
std::string ReadToEnd(int socket, int wait_ms = 5000) {
  std::string text;
  std::array<char, 4096> bytes{};
  for (;;) {
    pollfd readable{socket, POLLIN, 0};
    if (::poll(&readable, 1, wait_ms) != 1) return text + "…";
    const ssize_t got = ::recv(socket, bytes.data(), bytes.size(), 0);
    if (got <= 0) return text;
    text.append(bytes.data(), static_cast<size_t>(got));
  }
}

class ApiProcess : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(::mkdtemp(folder_.data()), nullptr);
    path_ = folder_ + "/api.sock";
    auto listener = Listen();
    auto pair = MakeMessagePair();
    ASSERT_TRUE(pair);
    core_ = std::move(pair->ours);
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    ChildOptions options;
    options.argv = {Program(), "--core-fd", "3", "--api-fd", "4"};
    options.fds = {{null.get(), 0}, {null.get(), 1}, {pair->theirs.get(), 3}, {listener.get(), 4}};
    auto child = SpawnChild(options);
    ASSERT_TRUE(child) << child.error().Message();
    child_ = std::move(*child);
  }

  void TearDown() override {
    core_.Reset();  // it ends by itself then
    int status = -1;
    EXPECT_EQ(::waitpid(child_.pid, &status, 0), child_.pid);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
    std::filesystem::remove_all(folder_);
  }

  UniqueFd Listen() {
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address = Address();
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(socket.get(), 16), 0);
    return socket;
  }

  sockaddr_un Address() const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    return address;
  }

  UniqueFd Client(std::string_view request) const {
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address = Address();
    EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
              0);
    Send(socket, request);
    return socket;
  }
  static void Send(const UniqueFd& socket, std::string_view text) {
    ::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
  }

  // What a whole request is answered, when the core is not asked.
  std::string Answer(std::string_view request) const { return ReadToEnd(Client(request).get()); }

  CoreRequest Asked() const {
    pollfd readable{core_.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&readable, 1, 5000), 1) << "the core was not asked";
    auto request = ReceiveRequest(core_.get());
    EXPECT_TRUE(request);
    return request ? std::move(*request) : CoreRequest();
  }
  bool CoreIsLeftAlone() const {
    pollfd readable{core_.get(), POLLIN, 0};
    return ::poll(&readable, 1, 100) == 0;
  }
  void Reply(uint64_t id, const char* kind, json::array items) const {
    CoreReply reply;
    reply.id = id;
    reply.kind = kind;
    reply.items = std::move(items);
    EXPECT_TRUE(SendReply(core_.get(), reply));
  }

  std::string folder_ = std::filesystem::temp_directory_path() / "bailey-api-XXXXXX", path_;
  UniqueFd core_;
  Child child_;
};

TEST_F(ApiProcess, PassesARequestOnAndTheAnswerBack) {
  const UniqueFd client =
      Client("GET /v1/tenants HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const CoreRequest asked = Asked();
  EXPECT_EQ(asked.op, "tenants.list");
  Reply(asked.id, "Tenant", {json::object{{"name", "acme"}}});
  const std::string answer = ReadToEnd(client.get());
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
  EXPECT_NE(answer.find(R"({"apiVersion":"bailey/v1","kind":"Tenant","items":[{"name":"acme"}]})"),
            std::string::npos);
}

TEST_F(ApiProcess, AnswersTwoRequestsOfOneConnectionAndRepliesInAnyOrder) {
  const UniqueFd first = Client("GET /v1/tenants/a HTTP/1.1\r\n\r\n");
  const CoreRequest a = Asked();
  const UniqueFd second = Client("GET /v1/tenants/b HTTP/1.1\r\nConnection: close\r\n\r\n");
  const CoreRequest b = Asked();
  Reply(b.id, "Tenant", {"of b"});
  EXPECT_NE(ReadToEnd(second.get()).find("of b"), std::string::npos);
  Reply(a.id, "Tenant", {"of a"});
  Send(first, "GET /v1/tenants/c HTTP/1.1\r\nConnection: close\r\n\r\n");
  const CoreRequest c = Asked();
  EXPECT_EQ(c.tenant, "c");
  Reply(c.id, "Tenant", {"of c"});
  const std::string both = ReadToEnd(first.get());
  EXPECT_NE(both.find("of a"), std::string::npos);
  EXPECT_NE(both.find("of c"), std::string::npos);
}

TEST_F(ApiProcess, CarriesALongAnswer) {
  const UniqueFd client = Client("GET /v1/tenants HTTP/1.1\r\nConnection: close\r\n\r\n");
  const CoreRequest asked = Asked();
  const std::string longest(3 << 20, 'x');
  Reply(asked.id, "Tenant", {json::string(longest)});
  const std::string answer = ReadToEnd(client.get());
  EXPECT_NE(answer.find(longest), std::string::npos);
}

TEST_F(ApiProcess, RefusesWithoutTroublingTheCore) {
  const std::string close = "Connection: close\r\n";
  const std::string much(40'000, 'x');
  const std::pair<std::string, const char*> rows[] = {
      {"nonsense\r\n\r\n", "HTTP/1.1 400 "},
      {"GET /v1/tenants HTTP/1.1\r\nA b\r\n\r\n", "HTTP/1.1 400 "},
      {"GET /v1/nope HTTP/1.1\r\n" + close + "\r\n", "HTTP/1.1 404 "},
      {"PUT /v1/tenants HTTP/1.1\r\n" + close + "\r\n", "HTTP/1.1 405 "},
      {"GET /v1/tenants HTTP/1.1\r\nA: " + much + "\r\n\r\n", "HTTP/1.1 431 "},
      {"POST /v1/tenants HTTP/1.1\r\nContent-Length: 40000\r\n\r\n" + much, "HTTP/1.1 413 "},
      {"POST /v1/tenants HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
       "HTTP/1.1 400 "},
      {"POST /v1/tenants HTTP/1.1\r\nContent-Length: 3\r\n" + close + "\r\n{{{", "HTTP/1.1 400 "},
      {"POST /v1/tenants HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + close +
           "\r\n3\r\n{{{\r\n0\r\n\r\n",
       "HTTP/1.1 400 "},
      {"POST /v1/tenants HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + close + "\r\nzz\r\n",
       "HTTP/1.1 400 "},
      {"POST /v1/tenants/a/exec HTTP/1.1\r\nUpgrade: bailey-exec\r\nContent-Length: 2\r\n" + close +
           "\r\n{}more",
       "HTTP/1.1 400 "},
  };
  for (const auto& [request, expected] : rows) {
    const std::string answer = Answer(request);
    EXPECT_TRUE(answer.starts_with(expected)) << request.substr(0, 60) << "\n" << answer;
    const size_t body = answer.find("\r\n\r\n");
    ASSERT_NE(body, std::string::npos);
    EXPECT_TRUE(json::parse(answer.substr(body + 4)).at("error").at("code").is_string());
  }
  EXPECT_TRUE(CoreIsLeftAlone());
}

TEST_F(ApiProcess, OneSlowClientKeepsNobodyWaiting) {
  const UniqueFd slow = Client("GET /v1/ten");
  std::vector<UniqueFd> idle(50);
  for (UniqueFd& client : idle) client = Client("");
  const UniqueFd quick = Client("GET /v1/tenants HTTP/1.1\r\nConnection: close\r\n\r\n");
  Reply(Asked().id, "Tenant", {});
  EXPECT_TRUE(ReadToEnd(quick.get()).starts_with("HTTP/1.1 200 "));
}

TEST_F(ApiProcess, ConnectionsBeyondTheLimitWaitForAPlace) {
  std::vector<UniqueFd> idle(128);
  for (UniqueFd& client : idle) client = Client("");
  const UniqueFd waiting = Client("GET /v1/nope HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(ReadToEnd(waiting.get(), 200), "…") << "there is no place";
  idle.pop_back();
  EXPECT_TRUE(ReadToEnd(waiting.get()).starts_with("HTTP/1.1 404 "));
}

TEST_F(ApiProcess, HandsTheConnectionOfAnExecOver) {
  const std::string body = R"({"argv":["ls"]})";
  const UniqueFd client = Client(
      "POST /v1/tenants/acme/exec HTTP/1.1\r\nConnection: Upgrade\r\n"
      "Upgrade: bailey-exec\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body);
  const CoreRequest check = Asked();
  EXPECT_EQ(check.op, "tenants.exec.check");
  Reply(check.id, "Exec", {});
  CoreRequest exec = Asked();
  EXPECT_EQ(exec.op, "tenants.exec");
  EXPECT_EQ(exec.tenant, "acme");
  EXPECT_EQ(json::serialize(exec.args), body);
  ASSERT_EQ(exec.fds.size(), 1U);
  EXPECT_EQ(::fcntl(exec.fds[0].get(), F_GETFL) & O_NONBLOCK, 0);
  Reply(exec.id, "Exec", {});
  ASSERT_EQ(::send(exec.fds[0].get(), "session", 7, 0), 7);
  exec.fds.clear();
  const std::string seen = ReadToEnd(client.get());
  EXPECT_TRUE(seen.starts_with("HTTP/1.1 101 ")) << seen;
  EXPECT_TRUE(seen.ends_with("\r\n\r\nsession")) << "nobody else holds the connection: " << seen;
}

TEST_F(ApiProcess, ARefusedExecIsAnOrdinaryAnswer) {
  const UniqueFd client = Client(
      "POST /v1/tenants/acme/exec HTTP/1.1\r\nConnection: close\r\n"
      "Upgrade: bailey-exec\r\nContent-Length: 2\r\n\r\n{}");
  CoreReply reply;
  reply.id = Asked().id;
  reply.error = ApiError{ApiCode::kInUse, "acme does not run", "acme", "", "bailey start acme"};
  ASSERT_TRUE(SendReply(core_.get(), reply));
  EXPECT_TRUE(ReadToEnd(client.get()).starts_with("HTTP/1.1 409 "));
}

class Stream : public ApiProcess {
 protected:
  void SetUp() override {
    ApiProcess::SetUp();
    client_ = Client("POST /v1/templates HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}");
    CoreReply reply;
    reply.id = Asked().id;
    reply.attached = Attached::kStream;
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
    reply.fd.Reset(pipe[0]);
    writer_.Reset(pipe[1]);
    ASSERT_TRUE(SendReply(core_.get(), reply));
  }
  UniqueFd client_, writer_;
};

TEST_F(Stream, PassesLinesOnUntilTheAnswer) {
  ASSERT_TRUE(WriteAll(writer_.get(), "{\"progress\":{\"text\":\"a\"}}\n{\"pro"));
  ASSERT_TRUE(WriteAll(writer_.get(), "gress\":{}}\n{\"items\":[]}\n"));
  writer_.Reset();
  const std::string answer = ReadToEnd(client_.get());
  EXPECT_NE(answer.find("Transfer-Encoding: chunked"), std::string::npos);
  EXPECT_NE(answer.find("{\"items\":[]}\n\r\n0\r\n\r\n"), std::string::npos) << answer;
}

TEST_F(Stream, SaysSoWhenThereIsNoAnswer) {
  ASSERT_TRUE(WriteAll(writer_.get(), "{\"progress\":{\"text\":\"a\"}}\n{\"items\""));
  writer_.Reset();
  const std::string answer = ReadToEnd(client_.get());
  EXPECT_NE(answer.find("\"code\":\"failed\""), std::string::npos) << answer;
  EXPECT_EQ(answer.find("{\"items\""), std::string::npos) << "half a line is none";
}

TEST_F(Stream, IsCancelledByAClientThatGoes) {
  signal(SIGPIPE, SIG_IGN);
  client_.Reset();
  pollfd broken{writer_.get(), 0, 0};
  EXPECT_EQ(::poll(&broken, 1, 5000), 1);
  EXPECT_NE(broken.revents & POLLERR, 0) << "nobody reads any more";
}

TEST_F(ApiProcess, StandsBehindItsWalls) {
  EXPECT_TRUE(Answer("GET /x HTTP/1.1\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 404"));
  const std::string proc = "/proc/" + std::to_string(child_.pid);
  const auto status = ReadFile(proc + "/status");
  ASSERT_TRUE(status);
  for (const char* line :
       {"Uid:\t65534\t65534\t65534\t65534\n", "Gid:\t65534\t65534\t65534\t65534\n", "Groups:\t \n",
        "CapInh:\t0000000000000000\n", "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n",
        "CapBnd:\t0000000000000000\n", "CapAmb:\t0000000000000000\n", "NoNewPrivs:\t1\n",
        "Seccomp:\t2\n"})
    EXPECT_NE(status->find(line), std::string::npos) << line << *status;
  EXPECT_TRUE(std::filesystem::is_empty(proc + "/root")) << "its root is empty";
  std::error_code failed;
  EXPECT_NE(std::filesystem::read_symlink(proc + "/ns/net", failed),
            std::filesystem::read_symlink("/proc/self/ns/net"));
}

}  // namespace
}  // namespace bailey::tenants
