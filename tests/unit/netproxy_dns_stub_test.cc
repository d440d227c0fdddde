// The stub against resolvers of our own on 127.77.0.0/16, with real sockets.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <map>
#include <string>
#include <string_view>

#include "netproxy/dns_frames.h"
#include "netproxy/dns_stub.h"

namespace bailey::netproxy {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 10s;

// A question for `name`.example; the id is the client's.
DnsBytes Question(uint16_t id, std::string_view name) {
  std::string text("\0\0\1\0\0\1\0\0\0\0\0\0", kDnsHeaderBytes);
  text += static_cast<char>(name.size());
  text += name;
  text += std::string_view("\7example\0\0\1\0\1", 13);
  DnsBytes query(text.begin(), text.end());
  SetDnsId(query, id);
  return query;
}
DnsBytes Answered(DnsBytes query, uint8_t mark) {
  query[2] |= 0x80;
  query.push_back(mark);
  return query;
}

UniqueFd Bound(int type, const char* address, Endpoint* where) {
  UniqueFd socket(::socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_storage storage{};
  socklen_t length = Endpoint{*IpAddress::Parse(address), where->port}.ToSockaddr(&storage);
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&storage), length), 0);
  if (type == SOCK_STREAM) {
    EXPECT_EQ(::listen(socket.get(), 8), 0);
  }
  EXPECT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&storage), &length), 0);
  *where = Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&storage));
  return socket;
}

// A resolver: whatever it is asked over UDP or TCP goes to `on_query`, which may send.
class Resolver {
 public:
  using OnQuery = std::function<void(Resolver&, const Endpoint& from, const DnsBytes& query)>;

  Resolver(EventLoop& loop, const char* address, OnQuery on_query, uint16_t port = 0)
      : loop_(loop), on_query_(std::move(on_query)) {
    where_.port = port;
    udp_ = Bound(SOCK_DGRAM, address, &where_);
    tcp_ = Bound(SOCK_STREAM, address, &where_);
    EXPECT_TRUE(loop_.Watch(udp_.get(), EPOLLIN, [this](uint32_t) { OnDatagram(); }));
    EXPECT_TRUE(loop_.Watch(tcp_.get(), EPOLLIN, [this](uint32_t) { OnConnection(); }));
  }
  ~Resolver() {
    for (const int fd : {udp_.get(), tcp_.get()}) loop_.Unwatch(fd);
    for (const auto& [fd, connection] : connections_) loop_.Unwatch(fd);
  }
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  void Send(const Endpoint& to, const DnsBytes& message) const {
    sockaddr_storage storage{};
    const socklen_t length = to.ToSockaddr(&storage);
    EXPECT_EQ(::sendto(udp_.get(), message.data(), message.size(), 0,
                       reinterpret_cast<sockaddr*>(&storage), length),
              static_cast<ssize_t>(message.size()));
  }
  const Endpoint& where() const { return where_; }
  size_t asked() const { return asked_; }
  bool answers_tcp = true;
  bool stays_silent = false;  // over TCP
  bool forges_tcp = false;

 private:
  struct Connection {
    UniqueFd fd;
    DnsFrames frames;
  };
  void OnDatagram() {
    sockaddr_storage from{};
    socklen_t length = sizeof from;
    DnsBytes buffer(kMaxDnsMessageBytes);
    const ssize_t got = ::recvfrom(udp_.get(), buffer.data(), buffer.size(), 0,
                                   reinterpret_cast<sockaddr*>(&from), &length);
    if (got < 0) return;
    buffer.resize(static_cast<size_t>(got));
    ++asked_;
    on_query_(*this, Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&from)), buffer);
  }
  void OnConnection() {
    UniqueFd fd(::accept4(tcp_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd || !answers_tcp) return;
    const int number = fd.get();
    connections_[number].fd = std::move(fd);
    EXPECT_TRUE(loop_.Watch(number, EPOLLIN, [this, number](uint32_t) { OnStream(number); }));
  }
  void OnStream(int number) {
    Connection& connection = connections_.at(number);
    const bool open = connection.frames.Read(number);
    if (const auto query = connection.frames.Take(); query && !stays_silent) {
      ++asked_;
      connection.frames.Put(Answered(forges_tcp ? Question(DnsId(*query), "other") : *query, 'T'));
      EXPECT_TRUE(connection.frames.Write(number));
    }
    if (open) return;
    loop_.Unwatch(number);
    connections_.erase(number);
  }

  EventLoop& loop_;
  OnQuery on_query_;
  Endpoint where_;
  UniqueFd udp_, tcp_;
  std::map<int, Connection> connections_;
  size_t asked_ = 0;
};

void AnswerAtOnce(Resolver& self, const Endpoint& from, const DnsBytes& query) {
  self.Send(from, Answered(query, 'U'));
}
void SaysNothing(Resolver&, const Endpoint&, const DnsBytes&) {}

class DnsStubTest : public testing::Test {
 protected:
  std::unique_ptr<DnsStub> Stub(DnsStubOptions options) {
    return std::make_unique<DnsStub>(loop_, std::move(options),
                                     [this](DnsEvent event) { ++events_[event]; });
  }
  // Turns the loop until `done`, within patience.
  template <class Done>
  bool Until(Done done) {
    const auto deadline = EventLoop::Clock::now() + kPatience;
    while (!done()) {
      if (EventLoop::Clock::now() > deadline) return false;
      loop_.RunOnce(20ms);
    }
    return true;
  }
  DnsBytes Ask(DnsStub& stub, const DnsBytes& query) {
    std::optional<DnsBytes> answer;
    stub.Ask(query, [&](DnsView bytes) { answer.emplace(bytes.begin(), bytes.end()); });
    EXPECT_TRUE(Until([&] { return answer.has_value(); })) << "no answer";
    return answer.value_or(DnsBytes());
  }

  EventLoop loop_ = std::move(*EventLoop::Create());
  std::map<DnsEvent, int> events_;
};

uint8_t ResponseCode(const DnsBytes& answer) { return answer.at(3) & 0x0f; }

TEST_F(DnsStubTest, ForwardsAndRestoresTheId) {
  std::vector<uint16_t> ids, ports;
  Resolver resolver(loop_, "127.77.53.1",
                    [&](Resolver& self, const Endpoint& from, const DnsBytes& query) {
                      ids.push_back(DnsId(query));
                      ports.push_back(from.port);
                      EXPECT_EQ(from.address.ToString(), "127.77.53.9");
                      AnswerAtOnce(self, from, query);
                    });
  const auto stub =
      Stub({.resolvers = {resolver.where()}, .source = *IpAddress::Parse("127.77.53.9")});
  for (uint16_t id = 1; id <= 20; ++id) {
    const DnsBytes query = Question(id, "one");
    EXPECT_EQ(Ask(*stub, query), Answered(query, 'U'));
  }
  EXPECT_EQ(stub->outstanding(), 0u);
  EXPECT_EQ(events_[DnsEvent::kQuery], 20);
  EXPECT_EQ(events_[DnsEvent::kAnswer], 20);
  // Neither ids nor ports follow the client's, or each other.
  for (auto* values : {&ids, &ports}) {
    std::sort(values->begin(), values->end());
    EXPECT_GT(std::unique(values->begin(), values->end()) - values->begin(), 10);
    EXPECT_GT(values->back() - values->front(), 500);
  }
}

TEST_F(DnsStubTest, IgnoresForgedAnswers) {
  Endpoint stranger_at;
  const UniqueFd stranger = Bound(SOCK_DGRAM, "127.77.53.66", &stranger_at);
  Resolver resolver(loop_, "127.77.53.1",
                    [&](Resolver& self, const Endpoint& from, const DnsBytes& query) {
                      // From another address: the kernel keeps it away.
                      sockaddr_storage to{};
                      const socklen_t length = from.ToSockaddr(&to);
                      const DnsBytes right = Answered(query, 'S');
                      ::sendto(stranger.get(), right.data(), right.size(), 0,
                               reinterpret_cast<sockaddr*>(&to), length);
                      // From the resolver's, but with a wrong id, question or kind.
                      DnsBytes wrong = Answered(query, 'F');
                      SetDnsId(wrong, static_cast<uint16_t>(DnsId(query) + 1));
                      self.Send(from, wrong);
                      self.Send(from, Answered(Question(DnsId(query), "other"), 'F'));
                      self.Send(from, query);
                      self.Send(from, {});
                      self.Send(from, Answered(query, 'U'));
                    });
  const auto stub = Stub({.resolvers = {resolver.where()}});
  const DnsBytes query = Question(7, "one");
  EXPECT_EQ(Ask(*stub, query), Answered(query, 'U'));
  EXPECT_EQ(events_[DnsEvent::kForged], 4);
}

TEST_F(DnsStubTest, TurnsToTheNextResolver) {
  Resolver silent(loop_, "127.77.53.1", SaysNothing);
  Resolver good(loop_, "127.77.53.2", AnswerAtOnce);
  Endpoint nobody;
  Bound(SOCK_DGRAM, "127.77.53.3", &nobody);  // closed again: ICMP says so
  const auto stub = Stub({.resolvers = {nobody, silent.where(), good.where()}, .timeout = 50ms});
  const DnsBytes query = Question(7, "one");
  EXPECT_EQ(Ask(*stub, query), Answered(query, 'U'));
  EXPECT_EQ(silent.asked(), 1u);
  EXPECT_EQ(events_[DnsEvent::kFailure], 0);
}

TEST_F(DnsStubTest, FailsWhenNobodyAnswers) {
  Resolver silent(loop_, "127.77.53.1", SaysNothing);
  const auto stub = Stub({.resolvers = {silent.where()}, .timeout = 20ms, .rounds = 3});
  const DnsBytes answer = Ask(*stub, Question(7, "one"));
  EXPECT_TRUE(IsAnswerTo(answer, Question(7, "one")));
  EXPECT_EQ(ResponseCode(answer), 2);
  EXPECT_EQ(silent.asked(), 3u);
  EXPECT_EQ(events_[DnsEvent::kFailure], 1);
  EXPECT_EQ(ResponseCode(Ask(*Stub({}), Question(8, "one"))), 2);  // no resolver at all
}

// Nobody is there when it is asked, and is a little later.
TEST_F(DnsStubTest, SurvivesARestartOfTheResolver) {
  Endpoint place;
  Bound(SOCK_DGRAM, "127.77.53.3", &place);  // closed again
  const auto stub = Stub({.resolvers = {place}});
  const DnsBytes query = Question(7, "one");
  std::optional<Resolver> resolver;
  loop_.After(300ms, [&] { resolver.emplace(loop_, "127.77.53.3", AnswerAtOnce, place.port); });
  EXPECT_EQ(Ask(*stub, query), Answered(query, 'U'));
  EXPECT_EQ(events_[DnsEvent::kFailure], 0);
  resolver.reset();
  const auto hasty = Stub({.resolvers = {place}, .timeout = 100ms});
  EXPECT_EQ(ResponseCode(Ask(*hasty, query)), 2);
}

TEST_F(DnsStubTest, RefusesWhatIsNoQuery) {
  Resolver resolver(loop_, "127.77.53.1", AnswerAtOnce);
  const auto stub = Stub({.resolvers = {resolver.where()}});
  int replies = 0;
  const auto count = [&replies](DnsView) { ++replies; };
  stub->Ask({}, count);
  stub->Ask(Answered(Question(7, "one"), 'U'), count);
  EXPECT_EQ(replies, 0);
  DnsBytes broken = Question(7, "one");
  broken[12] = 0xc0;
  EXPECT_EQ(ResponseCode(Ask(*stub, broken)), 1);
  DnsBytes update = Question(7, "one");
  update[2] = 0x28;
  EXPECT_EQ(ResponseCode(Ask(*stub, update)), 4);
  EXPECT_EQ(resolver.asked(), 0u);
  EXPECT_EQ(events_[DnsEvent::kMalformed], 4);
}

TEST_F(DnsStubTest, DropsTheOldestOfTooMany) {
  std::vector<std::pair<Endpoint, DnsBytes>> waiting;
  Resolver resolver(loop_, "127.77.53.1",
                    [&](Resolver&, const Endpoint& from, const DnsBytes& query) {
                      waiting.emplace_back(from, query);
                    });
  const auto stub = Stub({.resolvers = {resolver.where()}, .timeout = 10s, .max_queries = 3});
  std::vector<int> answered;
  for (int i = 0; i < 5; ++i)
    stub->Ask(Question(static_cast<uint16_t>(i), "one"),
              [&, i](DnsView) { answered.push_back(i); });
  EXPECT_EQ(stub->outstanding(), 3u);
  EXPECT_EQ(events_[DnsEvent::kCrowded], 2);
  ASSERT_TRUE(Until([&] { return waiting.size() == 5; }));
  for (const auto& [from, query] : waiting) resolver.Send(from, Answered(query, 'U'));
  ASSERT_TRUE(Until([&] { return answered.size() == 3; }));
  EXPECT_EQ(answered, (std::vector<int>{2, 3, 4}));
}

TEST_F(DnsStubTest, AReplyMayAskAgainOrTheStubMayGo) {
  Resolver resolver(loop_, "127.77.53.1", AnswerAtOnce);
  auto stub = Stub({.resolvers = {resolver.where()}, .max_queries = 1});
  int answers = 0;
  stub->Ask(Question(1, "one"), [&](DnsView) {
    ++answers;
    stub->Ask(Question(2, "two"), [&](DnsView) { ++answers; });
  });
  EXPECT_TRUE(Until([&] { return answers == 2; }));
  EXPECT_EQ(events_[DnsEvent::kCrowded], 0);
  stub->Ask(Question(3, "three"), [&](DnsView) { ++answers; });
  stub.reset();
  loop_.RunOnce(20ms);
  EXPECT_EQ(answers, 2);
}

// The tenant's end of a TCP connection, blocking, and what the stub is given.
class DnsStubTcpTest : public DnsStubTest {
 protected:
  void Connect(DnsStub& stub) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    tenant_.Reset(ends[0]);
    frames_ = {};
    stub.Serve(UniqueFd(ends[1]));
  }
  void Send(const DnsBytes& query) {
    frames_.Put(query);
    EXPECT_TRUE(frames_.Write(tenant_.get()));
  }
  DnsBytes Receive() {
    std::optional<DnsBytes> answer;
    Until([&] {
      closed_ = !frames_.Read(tenant_.get());
      answer = frames_.Take();
      return answer.has_value() || closed_;
    });
    return answer.value_or(DnsBytes());
  }
  bool Closed() { return Receive().empty() && closed_; }

  UniqueFd tenant_;
  DnsFrames frames_;
  bool closed_ = false;
};

TEST_F(DnsStubTcpTest, ServesSeveralQuestionsOnOneConnection) {
  Resolver resolver(loop_, "127.77.53.1", AnswerAtOnce);
  const auto stub = Stub({.resolvers = {resolver.where()}});
  Connect(*stub);
  Send(Question(1, "one"));
  Send(Question(2, "two"));  // before the first is answered
  EXPECT_EQ(Receive(), Answered(Question(1, "one"), 'T'));
  EXPECT_EQ(Receive(), Answered(Question(2, "two"), 'T'));
  // A client that has said all it had to say still gets its answer, then the end.
  Send(Question(3, "three"));
  ::shutdown(tenant_.get(), SHUT_WR);
  EXPECT_EQ(Receive(), Answered(Question(3, "three"), 'T'));
  EXPECT_TRUE(Closed());
  EXPECT_EQ(stub->connections(), 0u);
  EXPECT_EQ(events_[DnsEvent::kQuery], 3);
  EXPECT_EQ(events_[DnsEvent::kAnswer], 3);
}

TEST_F(DnsStubTcpTest, TurnsToTheNextResolver) {
  Endpoint nobody;
  Bound(SOCK_STREAM, "127.77.53.3", &nobody);
  Resolver hangs_up(loop_, "127.77.53.1", SaysNothing), silent(loop_, "127.77.53.4", SaysNothing);
  hangs_up.answers_tcp = false;
  silent.stays_silent = true;
  Resolver good(loop_, "127.77.53.2", AnswerAtOnce);
  const auto stub = Stub(
      {.resolvers = {nobody, hangs_up.where(), silent.where(), good.where()}, .timeout = 50ms});
  Connect(*stub);
  Send(Question(1, "one"));
  EXPECT_EQ(Receive(), Answered(Question(1, "one"), 'T'));
}

TEST_F(DnsStubTcpTest, HangsUpOnAForger) {
  Resolver forger(loop_, "127.77.53.1", SaysNothing), good(loop_, "127.77.53.2", AnswerAtOnce);
  forger.forges_tcp = true;
  const auto stub = Stub({.resolvers = {forger.where(), good.where()}});
  Connect(*stub);
  Send(Question(1, "one"));
  EXPECT_EQ(Receive(), Answered(Question(1, "one"), 'T'));
  EXPECT_EQ(events_[DnsEvent::kForged], 1);
}

TEST_F(DnsStubTcpTest, FailsWhenNobodyAnswers) {
  Endpoint nobody;
  Bound(SOCK_STREAM, "127.77.53.3", &nobody);
  const auto stub = Stub({.resolvers = {nobody}});
  Connect(*stub);
  Send(Question(1, "one"));
  const DnsBytes answer = Receive();
  EXPECT_TRUE(IsAnswerTo(answer, Question(1, "one")));
  EXPECT_EQ(ResponseCode(answer), 2);
}

TEST_F(DnsStubTcpTest, ClosesOnWhatIsNoQuery) {
  const auto stub = Stub({});
  Connect(*stub);
  Send({});
  EXPECT_TRUE(Closed());
  Connect(*stub);
  Send(Answered(Question(1, "one"), 'U'));
  EXPECT_TRUE(Closed());
  EXPECT_EQ(stub->connections(), 0u);
  EXPECT_EQ(events_[DnsEvent::kMalformed], 2);
}

TEST_F(DnsStubTcpTest, ClosesTheIdleAndTheExcessive) {
  const auto stub = Stub({.max_connections = 1, .idle = 50ms});
  Connect(*stub);
  const UniqueFd first = std::move(tenant_);
  Connect(*stub);
  EXPECT_TRUE(Closed());
  EXPECT_EQ(events_[DnsEvent::kCrowded], 1);
  EXPECT_EQ(stub->connections(), 1u);
  EXPECT_TRUE(Until([&] { return stub->connections() == 0; }));
}

TEST_F(DnsStubTcpTest, SurvivesNoise) {
  Resolver resolver(loop_, "127.77.53.1", AnswerAtOnce);
  const auto stub = Stub({.resolvers = {resolver.where()}});
  std::srand(1);
  for (int i = 0; i < 200; ++i) {
    Connect(*stub);
    DnsBytes noise(static_cast<size_t>(std::rand()) % 200);
    for (uint8_t& byte : noise) byte = static_cast<uint8_t>(std::rand());
    if (i % 2 == 0) noise.insert(noise.begin(), 0);  // short messages
    (void)::send(tenant_.get(), noise.data(), noise.size(), MSG_NOSIGNAL);
    if (i % 3 == 0) ::shutdown(tenant_.get(), SHUT_WR);
    loop_.RunOnce(0ms);
    tenant_.Reset();
  }
  EXPECT_TRUE(Until([&] { return stub->connections() == 0; }));
}

}  // namespace
}  // namespace bailey::netproxy
