#include "supervisor/granted_calls.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <string_view>

#include "base/capabilities.h"
#include "base/files.h"
#include "base/log.h"
#include "base/namespaces.h"
#include "base/unique_fd.h"
#include "supervisor/ptrace_right.h"

namespace bailey::supervisor {
namespace {

constexpr size_t kLongestHostname = 64;

// Whether the call still waits for an answer. What was opened or read of the caller before this
// said yes is the caller's: its number may be given to another task, and its directory in /proc
// lead to another program (a thread's that has executed one), but only once the call has ended.
bool StillWaits(int listener, const seccomp_notif& call) {
  uint64_t id = call.id;
  return ::ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

// A file of the caller's /proc directory: bound to the program that made the call.
Result<UniqueFd> OpenOfCaller(int listener, const seccomp_notif& call, const char* name,
                              int flags) {
  auto file = OpenPath("/proc/" + std::to_string(call.pid) + "/" + name, flags);
  if (file && !StillWaits(listener, call)) return Errno("the caller is gone", ESRCH);
  return file;
}

struct Credentials {
  uint64_t euid = 0;
  uint64_t effective = 0;  // capabilities
};

// A field of /proc/PID/status: the `index`th number after `name`.
uint64_t Field(std::string_view status, std::string_view name, int index, int base) {
  const size_t at = status.find(name);
  if (at == std::string_view::npos) return ~uint64_t{0};
  std::string text(status.substr(at + name.size(), 80));
  const char* next = text.c_str();
  uint64_t value = ~uint64_t{0};
  for (int i = 0; i <= index; ++i) {
    char* end = nullptr;
    value = std::strtoull(next, &end, base);
    if (end == next) return ~uint64_t{0};
    next = end;
  }
  return value;
}

Result<Credentials> ReadCredentials(int listener, const seccomp_notif& call) {
  const auto file = OpenOfCaller(listener, call, "status", O_RDONLY);
  if (!file) return file.error();
  const auto status = ReadAll(file->get());
  if (!status) return status.error();
  // The file tells of whoever has the number as it is read.
  if (!StillWaits(listener, call)) return Errno("the caller is gone", ESRCH);
  Credentials credentials;
  credentials.euid = Field(*status, "\nUid:", 1, 10);
  credentials.effective = Field(*status, "\nCapEff:", 0, 16);
  if (credentials.euid == ~uint64_t{0}) return Errno("read status", EPROTO);
  return credentials;
}

bool IsHostname(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-';
  });
}

// The calling thread is in the tenant's uts namespace until destruction, as NetnsScope.
class [[nodiscard]] UtsScope {
 public:
  explicit UtsScope(int target) : home_(::open("/proc/thread-self/ns/uts", O_RDONLY | O_CLOEXEC)) {
    if (home_ && ::setns(target, CLONE_NEWUTS) != 0) home_.Reset();
  }
  UtsScope(const UtsScope&) = delete;
  UtsScope& operator=(const UtsScope&) = delete;
  ~UtsScope() {
    if (home_) BAILEY_CHECK(::setns(home_.get(), CLONE_NEWUTS) == 0);
  }
  bool entered() const { return static_cast<bool>(home_); }

 private:
  UniqueFd home_;
};

// 0, or the errno for the caller.
int SetHostname(const GrantContext& context, const seccomp_notif& call) {
  const auto credentials = ReadCredentials(context.listener, call);
  if (!credentials || credentials->euid != context.uid_base) return EPERM;
  std::array<char, kLongestHostname> name{};
  const uint64_t length = call.data.args[1];
  if (length > name.size()) return EINVAL;
  const auto memory = OpenOfCaller(context.listener, call, "mem", O_RDONLY);
  if (!memory) return EPERM;
  if (::pread(memory->get(), name.data(), length, static_cast<off_t>(call.data.args[0])) !=
      static_cast<ssize_t>(length))
    return EFAULT;
  if (!IsHostname({name.data(), length})) return EINVAL;
  const UtsScope scope(context.init_pidfd);
  if (!scope.entered()) return EPERM;
  return ::sethostname(name.data(), length) == 0 ? 0 : errno;
}

// 0, or the errno for the caller. By its memory as we have it open: a process number may be given
// to another process before process_vm_writev(2) has looked it up. So memory that the caller itself
// may only read is written too, as by ptrace(2): a copy of its own.
int TellSysinfo(const GrantContext& context, const seccomp_notif& call) {
  const auto memory = OpenOfCaller(context.listener, call, "mem", O_WRONLY);
  if (!memory) return EFAULT;
  const struct sysinfo told = context.sysinfo->Now();
  const ssize_t written =
      ::pwrite(memory->get(), &told, sizeof told, static_cast<off_t>(call.data.args[0]));
  return written == static_cast<ssize_t>(sizeof told) ? 0 : EFAULT;
}

// A descriptor for the caller, or -errno in *response.
Grant MakeRawSocket(const GrantContext& context, const seccomp_notif& call,
                    seccomp_notif_resp* response) {
  response->error = -EPERM;
  const auto credentials = ReadCredentials(context.listener, call);
  if (!credentials || (credentials->effective & CapabilityBit(CAP_NET_RAW)) == 0)
    return Grant::kRespond;
  const auto family = static_cast<int>(call.data.args[0]);
  const auto type = static_cast<int>(call.data.args[1]);
  const auto protocol = static_cast<int>(call.data.args[2]);
  UniqueFd socket;
  {
    const auto scope = NetnsScope::Enter(context.init_pidfd);
    if (!scope) return Grant::kRespond;
    socket.Reset(::socket(family, type | SOCK_CLOEXEC, protocol));
  }
  if (!socket) {
    response->error = -errno;
    return Grant::kRespond;
  }
  seccomp_notif_addfd add{};
  add.id = call.id;
  add.flags = SECCOMP_ADDFD_FLAG_SEND;
  add.srcfd = static_cast<uint32_t>(socket.get());
  add.newfd_flags = (type & SOCK_CLOEXEC) != 0 ? O_CLOEXEC : 0;
  if (::ioctl(context.listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) >= 0) return Grant::kAnswered;
  response->error = -errno;
  return Grant::kRespond;
}

constexpr int kSocketType = 0xf;

bool IsRawInternetSocket(const seccomp_data& data) {
  const auto family = static_cast<int>(data.args[0]);
  return (family == AF_INET || family == AF_INET6) &&
         (static_cast<int>(data.args[1]) & kSocketType) == SOCK_RAW;
}

}  // namespace

Grant CarryOut(const GrantContext& context, const DeniedCall& row, const seccomp_notif& call,
               seccomp_notif_resp* response) {
  const std::string_view name = row.name;
  if (name == "sysinfo" && context.sysinfo != nullptr) {
    const PtraceRightScope right;
    response->error = -TellSysinfo(context, call);
    return Grant::kRespond;
  }
  if (name == "sethostname" && context.allow.set_hostname) {
    const PtraceRightScope right;
    const int error = SetHostname(context, call);
    if (error == EPERM) return Grant::kDenied;
    response->error = -error;
    return Grant::kRespond;
  }
  if (name == "socket" && context.allow.raw_sockets && IsRawInternetSocket(call.data)) {
    const PtraceRightScope right;
    return MakeRawSocket(context, call, response);
  }
  return Grant::kDenied;
}

}  // namespace bailey::supervisor
