#include "tenants/cli/terminal.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "tenants/cli/render.h"

namespace bailey::tenants {

bool IsTerminal(int fd) { return ::isatty(fd) == 1; }

std::optional<winsize> WindowSize(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return std::nullopt;
  return size;
}

RawMode::RawMode(int fd) : fd_(fd) {
  termios now{};
  if (::tcgetattr(fd, &now) != 0) return;
  before_ = now;
  ::cfmakeraw(&now);
  ::tcsetattr(fd, TCSADRAIN, &now);
}

RawMode::~RawMode() {
  if (before_) ::tcsetattr(fd_, TCSADRAIN, &*before_);
}

ProgressBar::ProgressBar() : terminal_(IsTerminal(STDERR_FILENO)) {}

ProgressBar::~ProgressBar() {
  if (drawn_) std::fputs("\r\x1b[K", stderr);
}

void ProgressBar::Show(std::string_view text, int percent) {
  if (!terminal_) return;
  const auto size = WindowSize(STDERR_FILENO);
  const std::string line = ProgressLine(text, percent, size ? size->ws_col : 80);
  std::fprintf(stderr, "\r\x1b[K%s", line.c_str());
  std::fflush(stderr);
  drawn_ = true;
}

std::string ProgressLine(std::string_view text, int percent, size_t columns) {
  constexpr size_t kCells = 24;
  std::string line;
  if (percent >= 0) {
    const auto done = static_cast<size_t>(std::min(percent, 100)) * kCells / 100;
    std::string number = std::to_string(std::min(percent, 100)) + "%";
    line = "[" + std::string(done, '#') + std::string(kCells - done, '-') + "] " +
           std::string(4 - number.size(), ' ') + number + "  ";
  }
  line += Printable(text);
  // The last column would make some terminals wrap.
  if (line.size() >= columns) line.resize(columns > 0 ? columns - 1 : 0);
  while (!line.empty() && (static_cast<unsigned char>(line.back()) & 0x80) != 0 &&
         line.size() + 1 == columns)
    line.pop_back();  // half a character of UTF-8
  return line;
}

}  // namespace bailey::tenants
