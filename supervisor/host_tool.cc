#include "supervisor/host_tool.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/child_process.h"
#include "base/files.h"
#include "base/host_program.h"

namespace bailey::supervisor {
namespace {

constexpr size_t kWordsKept = 400, kMostWords = size_t{16} << 20;

// The last of what it said, on one line.
std::string LastWords(int file) {
  ::lseek(file, 0, SEEK_SET);
  const auto read = ReadAll(file, kMostWords);
  if (!read) return {};
  std::string text = *read;
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (text.size() > kWordsKept) text.erase(0, text.size() - kWordsKept);
  std::ranges::replace_if(
      text, [](unsigned char c) { return c < ' ' || c == 0x7f; }, ' ');
  return text;
}

}  // namespace

Status RunHostTool(const HostTool& tool) {
  ChildOptions options;
  options.argv = tool.argv;
  options.argv[0] = FindProgram(tool.argv[0]);
  if (options.argv[0].empty())
    return Errno(tool.argv[0], ENOENT).WithHint(std::string("apt-get install ") + tool.package);
  options.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"};
  const auto null = OpenPath("/dev/null", O_RDONLY);
  if (!null) return null.error();
  const UniqueFd words(::memfd_create("tool-words", MFD_CLOEXEC));
  if (!words) return Errno("memfd_create");
  options.fds = tool.fds;
  for (const auto& [ours, theirs] : {std::pair{null->get(), 0}, {words.get(), 1}, {words.get(), 2}})
    options.fds.emplace_back(ours, theirs);
  CapabilitySets held;
  if (ReadCapabilities(&held) != 0) return Errno("capget");
  ProgramRights rights{tool.keep & held.permitted, ::getpid()};
  options.before_exec = ConfineProgram;
  options.context = &rights;
  auto child = SpawnChild(options);
  if (!child) return child.error();
  int status = 0;
  while (::waitpid(child->pid, &status, 0) < 0)
    if (errno != EINTR) return Errno("wait for " + tool.argv[0]);
  if (WIFEXITED(status) && WEXITSTATUS(status) <= tool.most) return {};
  std::string what = tool.argv[0];
  what += WIFEXITED(status) ? " failed with status " + std::to_string(WEXITSTATUS(status))
                            : " was ended by signal " + std::to_string(WTERMSIG(status));
  return Errno(what + ": " + LastWords(words.get()), EIO);
}

}  // namespace bailey::supervisor
