// The person's terminal: its size, raw mode while a session has it, and progress on one line.
#pragma once

#include <sys/ioctl.h>
#include <termios.h>

#include <optional>
#include <string>
#include <string_view>

namespace bailey::tenants {

bool IsTerminal(int fd);
std::optional<winsize> WindowSize(int fd);

// The terminal passes every key on, unechoed, until destruction.
class RawMode {
 public:
  explicit RawMode(int fd);
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;
  ~RawMode();

 private:
  int fd_;
  std::optional<termios> before_;
};

// "[######------]  41%  Unpacking dpkg", redrawn in place on stderr; nothing at all where stderr is
// no terminal. Taken away on destruction.
class ProgressBar {
 public:
  ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  ~ProgressBar();
  void Show(std::string_view text, int percent);  // percent: -1 when unknown

 private:
  bool terminal_;
  bool drawn_ = false;
};

// The line of ProgressBar for a terminal of so many columns. Pure.
std::string ProgressLine(std::string_view text, int percent, size_t columns);

}  // namespace bailey::tenants
