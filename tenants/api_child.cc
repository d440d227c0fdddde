#include "tenants/api_child.h"

#include <fcntl.h>

#include <csignal>
#include <utility>

#include "base/files.h"
#include "base/log.h"

namespace bailey::tenants {
namespace {

constexpr std::chrono::seconds kRespawnPause{1};
// One child may not have more than this unanswered; a sane one has its 144 connections' worth.
constexpr size_t kMostUnsent = 4096;
constexpr int kReceiveAtOnce = 64;

}  // namespace

struct ApiChild::Line {
  UniqueFd socket;
  std::deque<CoreReply> unsent;
};

ApiChild::~ApiChild() {
  loop_.Cancel(respawn_);
  HangUp();
}

Status ApiChild::Start() {
  auto pair = MakeMessagePair();
  if (!pair) return pair.error();
  if (::fcntl(pair->ours.get(), F_SETFL, O_NONBLOCK) != 0) return Errno("fcntl");
  auto null = OpenPath("/dev/null", O_RDWR);
  if (!null) return null.error();
  ChildOptions options;
  options.argv = {ProgramDirectory() + "/bailey-api", "--core-fd", "3", "--api-fd", "4"};
  options.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  options.fds = {{null->get(), 0}, {null->get(), 1}, {pair->theirs.get(), 3}, {api_, 4}};
  if (metrics_ >= 0) {
    options.argv.insert(options.argv.end(), {"--metrics-fd", "5"});
    options.fds.emplace_back(metrics_, 5);
  }
  auto child = SpawnChild(options);
  if (!child) return child.error();
  auto watch = ChildWatch::Start(loop_, std::move(*child), [this](int status) { OnDeath(status); });
  if (!watch) return watch.error();
  child_ = std::move(*watch);
  line_ = std::make_shared<Line>(Line{std::move(pair->ours), {}});
  return loop_.Watch(line_->socket.get(), EPOLLIN, [this](uint32_t events) { OnLine(events); });
}

void ApiChild::OnLine(uint32_t events) {
  const auto line = line_;
  if ((events & EPOLLOUT) != 0) {
    while (!line->unsent.empty()) {
      const Status sent = SendReply(line->socket.get(), line->unsent.front());
      if (!sent && sent.error().code == std::errc::resource_unavailable_try_again) break;
      line->unsent.pop_front();
    }
    Listen(*line);
  }
  if ((events & ~uint32_t{EPOLLOUT}) != 0) Receive();
}

void ApiChild::Receive() {
  const auto line = line_;
  for (int i = 0; i < kReceiveAtOnce && line == line_ && line->unsent.size() < kMostUnsent; ++i) {
    auto request = ReceiveRequest(line->socket.get());
    if (!request && request.error().code == std::errc::resource_unavailable_try_again) return;
    if (!request) {
      if (request.error().code != std::errc::broken_pipe)
        LogWarning("the API child talks nonsense: " + request.error().Message());
      child_->Signal(SIGKILL);
      return HangUp();
    }
    handler_(std::move(*request), child_->pid(),
             [this, weak = std::weak_ptr<Line>(line)](CoreReply reply) {
               if (const auto still = weak.lock(); still && still == line_) Send(std::move(reply));
             });
  }
}

void ApiChild::Send(CoreReply reply) {
  if (line_->unsent.empty()) {
    const Status sent = SendReply(line_->socket.get(), reply);
    if (sent) return;
    if (sent.error().code != std::errc::resource_unavailable_try_again) {
      LogWarning("reply to the API child: " + sent.error().Message());
      if (reply.error) return;
      // Somebody waits for it: then with the reason why it cannot be sent.
      CoreReply instead;
      instead.id = reply.id;
      instead.error = ApiError::From(sent.error());
      return Send(std::move(instead));
    }
  }
  line_->unsent.push_back(std::move(reply));
  Listen(*line_);
}

// While the child does not take our replies, it gets no further ones to wait for.
void ApiChild::Listen(const Line& line) {
  const uint32_t in = line.unsent.size() < kMostUnsent ? EPOLLIN : 0U;
  const uint32_t out = line.unsent.empty() ? 0U : EPOLLOUT;
  static_cast<void>(loop_.Change(line.socket.get(), in | out));
}

void ApiChild::OnDeath(int status) {
  LogWarning("the API child ended with " + DescribeStatus(status) + "; another one follows");
  HangUp();
  respawn_ = loop_.After(kRespawnPause, [this] {
    if (const Status started = Start(); !started) {
      LogError("no API: " + started.error().Message());
      OnDeath(0);
    }
  });
}

void ApiChild::HangUp() {
  if (!line_) return;
  loop_.Unwatch(line_->socket.get());
  line_.reset();
}

}  // namespace bailey::tenants
