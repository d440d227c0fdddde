#include "tenants/template_job.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <boost/json.hpp>

#include "base/log.h"
#include "tenants/core_protocol.h"

namespace bailey::tenants {
namespace {

// Beyond this the builder waits for the client, as with a pipe.
constexpr size_t kMostUnsent = size_t{64} * 1024;

}  // namespace

Result<std::unique_ptr<TemplateJob>> TemplateJob::Start(EventLoop& loop, TemplateBuild build,
                                                        UniqueFd* client,
                                                        std::function<void()> ended) {
  // A socket pair, not a pipe: its hang-up is seen without writing, and it never raises SIGPIPE.
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.data()) != 0)
    return Errno("socketpair");
  UniqueFd ours(pair[0]);
  *client = UniqueFd(pair[1]);
  if (::fcntl(build.output(), F_SETFL, O_NONBLOCK) != 0) return Errno("fcntl");
  std::unique_ptr<TemplateJob> job(
      new TemplateJob(loop, std::move(build), std::move(ours), std::move(ended)));
  TemplateJob* const self = job.get();
  BAILEY_TRY(loop.Watch(self->build_.output(), EPOLLIN, [self](uint32_t) { self->OnOutput(); }));
  BAILEY_TRY(loop.Watch(self->out_.get(), EPOLLRDHUP,
                        [self](uint32_t events) { self->OnClient(events); }));
  return job;
}

TemplateJob::~TemplateJob() {
  if (reading_) loop_.Unwatch(build_.output());
  if (out_) loop_.Unwatch(out_.get());
}

void TemplateJob::OnOutput() {
  std::array<char, 4096> buffer{};
  const ssize_t got = ::read(build_.output(), buffer.data(), buffer.size());
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got > 0) {
    if (out_) unsent_.append(buffer.data(), static_cast<size_t>(got));
    return Send();
  }
  reading_ = false;
  at_end_ = true;
  loop_.Unwatch(build_.output());
  if (const Status finished = build_.Finish(); !finished) {
    LogError(finished.error().Message());
    unsent_ += boost::json::serialize(boost::json::object{
                   {"error", ApiError::From(finished.error(), {}, "template").ToJson()}}) +
               "\n";
  }
  Send();
}

void TemplateJob::OnClient(uint32_t events) {
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) return DropClient();
  Send();
}

void TemplateJob::Send() {
  while (out_ && !unsent_.empty()) {
    const ssize_t sent = ::send(out_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) break;
    if (sent < 0) return DropClient();
    unsent_.erase(0, static_cast<size_t>(sent));
  }
  if (at_end_ && (unsent_.empty() || !out_)) return Finish();
  const bool full = unsent_.size() > kMostUnsent;
  const uint32_t wanted = unsent_.empty() ? EPOLLRDHUP : EPOLLRDHUP | EPOLLOUT;
  if (out_) static_cast<void>(loop_.Change(out_.get(), wanted));
  if (!at_end_) static_cast<void>(loop_.Change(build_.output(), full ? 0U : EPOLLIN));
}

void TemplateJob::DropClient() {
  loop_.Unwatch(out_.get());
  out_.Reset();
  unsent_.clear();
  build_.Cancel();
  Send();
}

void TemplateJob::Finish() {
  const auto ended = std::move(ended_);
  ended();
}

}  // namespace bailey::tenants
