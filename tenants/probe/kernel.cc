// The kernel's large and seldom needed doors, and what belongs to the whole machine. Arguments are
// such that a kernel which let us do it would do nothing.
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <ctime>

#include "tenants/probe/report.h"

namespace bailey::probe {
namespace {

constexpr const char* kWall = "kernel";

int MakeMap() {
  bpf_attr attributes{};
  attributes.map_type = BPF_MAP_TYPE_ARRAY;
  attributes.key_size = attributes.value_size = 4;
  attributes.max_entries = 1;
  return ResultOf(::syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes));
}

int OpenPerf() {
  perf_event_attr attributes{};
  attributes.size = sizeof attributes;
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.config = PERF_COUNT_SW_CPU_CLOCK;
  return ResultOf(::syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
}

int SetClock() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return ResultOf(::syscall(SYS_clock_settime, CLOCK_REALTIME, &now));
}

int SetTimeOfDay() {
  timeval now{};
  ::gettimeofday(&now, nullptr);
  return ResultOf(::syscall(SYS_settimeofday, &now, nullptr));
}

int AdjustClock() {
  timex adjustment{};
  ::adjtimex(&adjustment);
  adjustment.modes = ADJ_TICK;  // to what it is
  return ResultOf(::adjtimex(&adjustment));
}

// sethostname(2) to what it is.
int SetHostname() {
  std::array<char, 65> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return errno;
  const std::string text = name.data();
  return ResultOf(::sethostname(text.data(), text.size()));
}

// A terminal of our own to type into: the wall stands before it is looked at whose it is.
int OpenTerminal() {
  const int master = ::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) return -1;
  ::unlockpt(master);
  return ::ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
}

int TypeIntoTerminal(uint64_t command) {
  const int terminal = OpenTerminal();
  if (terminal < 0) return errno;
  const char key = 'x';
  return ResultOf(::syscall(SYS_ioctl, terminal, command, &key));
}

int SetLineDiscipline() {
  const int terminal = OpenTerminal();
  if (terminal < 0) return errno;
  const int discipline = 0;  // N_TTY, which it has
  return ResultOf(::ioctl(terminal, TIOCSETD, &discipline));
}

#ifdef __x86_64__
// getpid by the 32-bit gate: numbers and arguments there are not what the filter looks at.
int CallThirtyTwoBit() {
  long result = 20;
  __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
  return result > 0 ? kThrough : static_cast<int>(-result);
}
int CallX32() {
  constexpr long kX32 = 0x40000000;
  return ResultOf(::syscall(kX32 | SYS_getpid));
}
#endif

struct Call {
  const char* name;
  long number;
  std::array<unsigned long, 5> arguments;
};
const std::string kKeyring = "user", kDescription = "bailey-probe";
unsigned long Pointer(const void* p) { return reinterpret_cast<unsigned long>(p); }

std::vector<Call> PlainCalls() {
  return {
      {"add_key",
       SYS_add_key,
       {Pointer(kKeyring.c_str()), Pointer(kDescription.c_str()), 0, 0,
        static_cast<unsigned long>(-3)}},
      {"keyctl", SYS_keyctl, {0, static_cast<unsigned long>(-3), 0, 0, 0}},
      {"request_key",
       SYS_request_key,
       {Pointer(kKeyring.c_str()), Pointer(kDescription.c_str()), 0, 0, 0}},
      {"io_uring_setup", SYS_io_uring_setup, {1, 0, 0, 0, 0}},
      {"userfaultfd", SYS_userfaultfd, {1, 0, 0, 0, 0}},
      {"init_module", SYS_init_module, {0, 0, 0, 0, 0}},
      {"finit_module", SYS_finit_module, {static_cast<unsigned long>(-1), 0, 0, 0, 0}},
      {"delete_module", SYS_delete_module, {Pointer("bailey_probe"), O_NONBLOCK, 0, 0, 0}},
      {"kexec_load", SYS_kexec_load, {0, 0, 0, static_cast<unsigned long>(-1), 0}},
      {"syslog", SYS_syslog, {3, 0, 0, 0, 0}},
      {"swapon", SYS_swapon, {Pointer("/dev/null"), 0, 0, 0, 0}},
      {"acct", SYS_acct, {Pointer("/proc/self/status"), 0, 0, 0, 0}},
      {"quotactl", SYS_quotactl, {0x800003UL << 8, Pointer("/dev/null"), 0, 0, 0}},
      {"fanotify_init", SYS_fanotify_init, {0, 0, 0, 0, 0}},
      {"open_by_handle_at", SYS_open_by_handle_at, {0, 0, 0, 0, 0}},
      {"setdomainname", SYS_setdomainname, {Pointer("x"), static_cast<unsigned long>(-1), 0, 0, 0}},
#ifdef __x86_64__
      {"iopl", SYS_iopl, {0, 0, 0, 0, 0}},
      {"ioperm", SYS_ioperm, {0x80, 1, 0, 0, 0}},
      {"modify_ldt", SYS_modify_ldt, {0, 0, 0, 0, 0}},
#endif
  };
}

}  // namespace

void TryKernel(Report& report, const Options& options) {
  const std::vector<int> refused = {EPERM, ENOSYS};
  for (const Call& call : PlainCalls())
    report.Denied(kWall, call.name, refused, [&call] {
      const auto& a = call.arguments;
      return ResultOf(::syscall(call.number, a[0], a[1], a[2], a[3], a[4]));
    });
  report.Denied(kWall, "bpf", refused, MakeMap);
  report.Denied(kWall, "perf_event_open", refused, OpenPerf);
  report.Denied(kWall, "set the clock", {EPERM}, SetClock);
  report.Denied(kWall, "set the time of day", {EPERM}, SetTimeOfDay);
  report.Denied(kWall, "adjust the clock", {EPERM}, AdjustClock);
  report.Denied(kWall, "type into a terminal", {EPERM, EIO},
                [] { return TypeIntoTerminal(TIOCSTI); });
  report.Denied(kWall, "type into a terminal, by 64 bits", {EPERM, EIO},
                [] { return TypeIntoTerminal(1UL << 32 | TIOCSTI); });
  report.Denied(kWall, "set a line discipline", {EPERM}, SetLineDiscipline);
  if (options.allow_set_hostname)
    report.Permitted(kWall, "set the hostname, which is allowed", SetHostname);
  else
    report.Denied(kWall, "set the hostname", {EPERM}, SetHostname);
#ifdef __x86_64__
  report.Denied(kWall, "a 32-bit call", {kKilled, ENOSYS}, CallThirtyTwoBit);
  report.Denied(kWall, "an x32 call", {kKilled, ENOSYS}, CallX32);
#endif
}

}  // namespace bailey::probe
