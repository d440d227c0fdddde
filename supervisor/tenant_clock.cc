#include "supervisor/tenant_clock.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>

namespace bailey::supervisor {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

int64_t Nanoseconds(const timespec& time) { return time.tv_sec * kSecond + time.tv_nsec; }

int64_t Now(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return Nanoseconds(now);
}

// "NAME -SECONDS NANOSECONDS\n": the offset that makes a clock that says `zero` say 0.
class OffsetText {
 public:
  void Add(const char* name, int64_t zero) {
    // The nanoseconds of an offset are never negative.
    const int64_t seconds = (zero + kSecond - 1) / kSecond;
    Text(name);
    Text(" -");
    Number(seconds);
    Text(" ");
    Number(seconds * kSecond - zero);
    Text("\n");
  }
  bool Write(int fd) const {
    return ::write(fd, text_.data(), size_) == static_cast<ssize_t>(size_);
  }

 private:
  void Text(const char* text) {
    for (; *text != '\0' && size_ < text_.size(); ++text) text_[size_++] = *text;
  }
  void Number(int64_t number) {
    std::array<char, 24> digits{};
    size_t at = digits.size() - 1;
    do {
      digits[--at] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number > 0);
    Text(&digits[at]);
  }
  std::array<char, 128> text_{};
  size_t size_ = 0;
};

bool SetOffsets(const timespec& started) {
  const int64_t now = Now(CLOCK_BOOTTIME);
  const int64_t zero = Nanoseconds(started) > 0 ? Nanoseconds(started) : now;
  OffsetText text;
  text.Add("boottime", zero);
  text.Add("monotonic", Now(CLOCK_MONOTONIC) - (now - zero));
  const int offsets = ::open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
  const bool set = offsets >= 0 && text.Write(offsets);
  if (offsets >= 0) ::close(offsets);
  return set;
}

}  // namespace

int EnterTenantClock(const timespec& started) {
  // What it says holds for children to come only: we enter it ourselves.
  if (::unshare(CLONE_NEWTIME) != 0) return -1;
  if (::prctl(PR_SET_DUMPABLE, 1) != 0 || !SetOffsets(started)) return -1;
  const int clock = ::open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
  if (clock < 0) return -1;
  const int entered = ::setns(clock, CLONE_NEWTIME);
  ::close(clock);
  return entered;
}

}  // namespace bailey::supervisor
