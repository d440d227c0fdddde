#include "supervisor/init_enter.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/syscalls.h"
#include "supervisor/enter_protocol.h"

namespace bailey::supervisor {
namespace {

constexpr size_t kMaxFile = 1 << 20;
constexpr size_t kMaxGroups = 256;
constexpr char kRootPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr char kUserPath[] = "/usr/local/bin:/usr/bin:/bin";

// Untouched pages of these cost nothing.
std::array<char, kMaxFile> passwd_text;
std::array<char, kMaxFile> group_text;

int Fail(EnterStep step, int error = errno) {
  const EnterReport report{step, error};
  [[maybe_unused]] const ssize_t n = ::write(kEnterReport, &report, sizeof report);
  return 127;
}

// What is there of a regular file; nothing of anything else, which might block.
std::string_view ReadText(const char* path, std::array<char, kMaxFile>& buffer) {
  const int file = ::open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (file < 0) return {};
  struct stat status {};
  size_t size = 0;
  if (::fstat(file, &status) == 0 && S_ISREG(status.st_mode))
    for (ssize_t got; size < buffer.size() &&
                      (got = ::read(file, buffer.data() + size, buffer.size() - size)) > 0;)
      size += static_cast<size_t>(got);
  ::close(file);
  return {buffer.data(), size};
}

void SetDefault(const char* name, std::string_view value) {
  std::array<char, 4096> text{};
  if (value.size() >= text.size()) return;
  std::memcpy(text.data(), value.data(), value.size());
  ::setenv(name, text.data(), 0);
}

// The terminal becomes the user's, as login(1) does it; it may not be one.
void GiveTerminal(uid_t uid) {
  if (::isatty(0) == 1) [[maybe_unused]]
    const int ignored = ::fchown(0, uid, static_cast<gid_t>(-1));
}

int TakeIds(const PasswdUser& user) {
  std::array<gid_t, kMaxGroups> groups{};
  const size_t count =
      FindGroups({group_text.data(), std::strlen(group_text.data())}, user.name, groups);
  if (::setgroups(count, groups.data()) != 0 || ::setresgid(user.gid, user.gid, user.gid) != 0 ||
      ::setresuid(user.uid, user.uid, user.uid) != 0 || ::prctl(PR_SET_DUMPABLE, 0) != 0)
    return -1;
  uid_t ruid = 0, euid = 0, suid = 0;
  if (::getresuid(&ruid, &euid, &suid) != 0) return -1;
  if (ruid == user.uid && euid == user.uid && suid == user.uid) return 0;
  errno = EPERM;
  return -1;
}

// `wanted`, which must exist; without one the home, or /. Not through a descriptor of ours: there
// is none of a directory (CVE-2024-21626), and what cannot be named from / is refused.
int EnterDirectory(const char* wanted) {
  if (*wanted == '\0') {
    const char* home = ::getenv("HOME");
    if (home == nullptr || *home != '/' || ::chdir(home) != 0) return ::chdir("/");
    return 0;
  }
  if (::chdir(wanted) != 0) return -1;
  std::array<char, 4096> path{};
  if (::getcwd(path.data(), path.size()) == nullptr) return -1;
  if (path[0] == '/') return 0;
  errno = ENOENT;
  return -1;
}

}  // namespace

void CompleteEnvironment(const PasswdUser& user) {
  SetDefault("PATH", user.uid == 0 ? kRootPath : kUserPath);
  SetDefault("HOME", user.home.empty() ? "/" : user.home);
  SetDefault("USER", user.name);
  SetDefault("LOGNAME", user.name);
  SetDefault("SHELL", user.shell.empty() ? "/bin/sh" : user.shell);
}

int RunEnter(int argc, char** argv) {
  ::prctl(PR_SET_DUMPABLE, 0);
  ::fcntl(kEnterReport, F_SETFD, FD_CLOEXEC);
  if (argc < 5) return Fail(EnterStep::kHelper, EINVAL);
  const std::string_view flags = argv[1];
  const bool program = flags.find('p') != std::string_view::npos;
  if (program) ::fcntl(kEnterProgram, F_SETFD, FD_CLOEXEC);
  if (::setsid() < 0) return Fail(EnterStep::kTerminal);
  if (flags.find('t') != std::string_view::npos && ::ioctl(0, TIOCSCTTY, 0) != 0)
    return Fail(EnterStep::kTerminal);
  PasswdUser user;
  if (!FindUser(ReadText("/etc/passwd", passwd_text), ReadText("/etc/group", group_text), argv[2],
                &user))
    return Fail(EnterStep::kUser, EINVAL);
  GiveTerminal(user.uid);
  if (TakeIds(user) != 0) return Fail(EnterStep::kGroups);
  CompleteEnvironment(user);
  if (EnterDirectory(argv[3]) != 0) return Fail(EnterStep::kDirectory);
  if (program)
    sys::Execveat(kEnterProgram, "", argv + 4, environ, AT_EMPTY_PATH);
  else
    ::execvp(argv[4], argv + 4);
  return Fail(EnterStep::kExecute);
}

}  // namespace bailey::supervisor
