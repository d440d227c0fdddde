// Attempts to get out of a tenant, one JSON line each on stdout:
//   {"wall":"mount","attempt":"mount a tmpfs","expected":"EPERM","got":"EPERM","ok":true}
// and at the end {"done":N}. bailey-probe is linked statically and depends on nothing of the
// tenant's root; it is written so that nothing is harmed should a wall be missing.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace bailey::probe {

struct Options {
  std::string ip;                // the tenant's one address
  int outside_pid = 0;           // a process outside, by its number there
  int outside_port = 0;          // where somebody listens on the host's 127.0.0.1
  std::string outside_abstract;  // the name of an abstract socket outside
  bool allow_mount = false, allow_raw_sockets = false, allow_set_hostname = false;
};

// Results of an attempt beyond errno's numbers.
inline constexpr int kThrough = 0;      // it worked: a hole
inline constexpr int kKilled = 10000;   // the kernel killed us for trying: SIGSYS or SIGSEGV
inline constexpr int kNothing = 10001;  // it timed out

class Report {
 public:
  // Runs `attempt` in a child process, for at most some seconds. It returns 0 when it got through
  // (having undone what it did), else the errno. A wall holds if that is one of `accepted`.
  void Denied(const char* wall, const std::string& attempt, const std::vector<int>& accepted,
              const std::function<int()>& run);
  // The reverse: something that the tenant may do.
  void Permitted(const char* wall, const std::string& attempt, const std::function<int()>& run);
  // Something to look at instead of something to try.
  void Fact(const char* wall, const std::string& attempt, const std::string& expected,
            const std::string& got, bool ok);
  void Done();

 private:
  int count_ = 0;
};

// "EPERM", "killed", "got through", or "errno 999".
std::string ResultName(int result);

// errno of a call that returned `result`, kThrough when it succeeded.
int ResultOf(long result);

// The whole of a small file; empty when it cannot be read.
std::string ReadText(const std::string& path);
// The rest of the line that begins with `key` and a colon in such a file, without blanks.
std::string StatusField(const std::string& text, const std::string& key);

// Each looks at one kind of wall.
void TryMounts(Report& report, const Options& options);
void TryDevices(Report& report, const Options& options);
void TrySockets(Report& report, const Options& options);
void TryDestinations(Report& report, const Options& options);
void TryNetworkSettings(Report& report, const Options& options);
void TryNamespaces(Report& report, const Options& options);
void TryProcesses(Report& report, const Options& options);
void TryKernel(Report& report, const Options& options);
void TryFiles(Report& report, const Options& options);
void LookAtIdentity(Report& report, const Options& options);

}  // namespace bailey::probe
