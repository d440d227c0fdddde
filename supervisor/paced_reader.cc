#include "supervisor/paced_reader.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "base/log.h"

namespace bailey::supervisor {

Status PacedReader::Start(UniqueFd read_end) {
  Stop();
  pipe_ = std::move(read_end);
  budget_ = bytes_per_second_;
  BAILEY_TRY(loop_.Watch(pipe_.get(), EPOLLIN, [this](uint32_t) { OnReadable(); }));
  watching_ = true;
  return {};
}

void PacedReader::Stop() {
  loop_.Cancel(std::exchange(refill_, 0));
  if (std::exchange(watching_, false)) loop_.Unwatch(pipe_.get());
  pipe_.Reset();
}

void PacedReader::OnReadable() {
  if (TakeSome() && budget_ > 0) return;
  loop_.Unwatch(pipe_.get());
  watching_ = false;
}

bool PacedReader::TakeSome() {
  std::array<char, 16384> buffer;
  const ssize_t got = ::read(pipe_.get(), buffer.data(), buffer.size());
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (got <= 0) return false;  // no writer is left, and none can come
  const auto bytes = static_cast<size_t>(got);
  budget_ -= std::min(budget_, bytes);
  // The second begins with its first byte: who is silent costs no timer.
  if (refill_ == 0) refill_ = loop_.After(std::chrono::seconds(1), [this] { Resume(); });
  take_({buffer.data(), bytes});
  return true;
}

void PacedReader::Resume() {
  budget_ = bytes_per_second_;
  refill_ = 0;
  if (watching_) return;
  const Status watched = loop_.Watch(pipe_.get(), EPOLLIN, [this](uint32_t) { OnReadable(); });
  if (!watched) return LogError("pipe: " + watched.error().Message());
  watching_ = true;
}

void PacedReader::Drain() {
  std::array<char, 16384> buffer;
  // A pipe's worth at most: somebody may still be writing.
  for (int i = 0; i < 8; ++i) {
    const ssize_t got = ::read(pipe_.get(), buffer.data(), buffer.size());
    if (got <= 0) return;
    take_({buffer.data(), static_cast<size_t>(got)});
  }
}

}  // namespace bailey::supervisor
