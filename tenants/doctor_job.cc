#include "tenants/doctor_job.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "base/files.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;
constexpr size_t kLongestAnswer = 1 << 20;

}  // namespace

Result<std::unique_ptr<DoctorJob>> DoctorJob::Start(EventLoop& loop, const Paths& paths,
                                                    Done done) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return Errno("pipe2");
  std::unique_ptr<DoctorJob> job(new DoctorJob(loop, UniqueFd(pipe[0]), std::move(done)));
  const UniqueFd write_end(pipe[1]);
  if (::fcntl(pipe[0], F_SETFL, O_NONBLOCK) != 0) return Errno("fcntl");
  auto null = OpenPath("/dev/null", O_RDWR);
  if (!null) return null.error();
  ChildOptions options;
  options.argv = {ProgramDirectory() + "/bailey", "doctor", "-o", "json"};
  options.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
                 "BAILEY_CONFIG=" + paths.config, "BAILEY_STATE_DIR=" + paths.state,
                 "BAILEY_RUNTIME_DIR=" + paths.runtime};
  options.fds = {{null->get(), 0}, {write_end.get(), 1}};
  auto child = SpawnChild(options);
  if (!child) return child.error();
  auto watch = ChildWatch::Start(loop, std::move(*child), [self = job.get()](int) {
    self->ended_ = true;
    self->FinishWhenOver();
  });
  if (!watch) return watch.error();
  job->child_ = std::move(*watch);
  BAILEY_TRY(
      loop.Watch(job->output_.get(), EPOLLIN, [self = job.get()](uint32_t) { self->OnOutput(); }));
  return job;
}

DoctorJob::~DoctorJob() { loop_.Unwatch(output_.get()); }

void DoctorJob::OnOutput() {
  std::array<char, 8192> buffer{};
  const ssize_t got = ::read(output_.get(), buffer.data(), buffer.size());
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got > 0) text_.append(buffer.data(), static_cast<size_t>(got));
  if (got > 0 && text_.size() <= kLongestAnswer) return;
  at_end_ = true;
  loop_.Unwatch(output_.get());
  if (got > 0) child_->Signal(SIGKILL);
  FinishWhenOver();
}

// Both: so that it is reaped, and heard to its last word.
void DoctorJob::FinishWhenOver() {
  if (!at_end_ || !ended_) return;
  const Done done = std::move(done_);
  json::error_code failed;
  json::value answer = json::parse(text_, failed);
  json::value* items =
      !failed && answer.is_object() ? answer.get_object().if_contains("items") : nullptr;
  if (items == nullptr || !items->is_array())
    return done(ApiError{
        ApiCode::kFailed, "bailey doctor gave no answer", {}, {}, "run bailey doctor on the host"});
  done(std::move(items->get_array()));
}

}  // namespace bailey::tenants
