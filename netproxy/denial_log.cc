#include "netproxy/denial_log.h"

#include <algorithm>
#include <utility>

namespace bailey::netproxy {
namespace {

constexpr std::chrono::seconds kQuiet{5};

std::string Place(const Endpoint& endpoint) {
  return endpoint.port == 0 ? endpoint.address.ToString() : endpoint.ToString();
}

}  // namespace

DenialLog::DenialLog(EventLoop& loop, Write write)
    : loop_(loop), write_(write), filled_(EventLoop::Clock::now()) {}

void DenialLog::WriteLine(const Denial& denial, std::string_view verdict) {
  std::string line = "denied " + std::string(denial.protocol) + " " + Place(denial.from) + " > " +
                     Place(denial.to) + ": " + std::string(verdict);
  if (unlogged_ > 0) line += " (" + Unlogged() + ")";
  write_(line);
}

void DenialLog::AddUnseen(uint64_t count) {
  unlogged_ += count;
  if (unlogged_ > 0 && timer_ == 0) TellLater();
}

bool DenialLog::TakeLine() {
  const auto now = EventLoop::Clock::now();
  const std::chrono::duration<double> since = now - std::exchange(filled_, now);
  lines_ = std::min<double>(lines_ + since.count() * kLinesPerSecond, kBurst);
  if (lines_ < 1) return false;
  lines_ -= 1;
  return true;
}

void DenialLog::TellLater() {
  timer_ = loop_.After(kQuiet, [this] {
    timer_ = 0;
    if (unlogged_ > 0) write_(Unlogged());
  });
}

std::string DenialLog::Unlogged() {
  return std::to_string(std::exchange(unlogged_, 0)) + " more denials were not logged";
}

}  // namespace bailey::netproxy
