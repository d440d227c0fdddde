// bailey-tls: ends TLS for one tenant. The private keys are in this process and in no other; it
// has no network, no files and no privileges, and gets its clients from bailey-netproxy.
//
//   bailey-tls --control-fd N --counters-fd N --uid N
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "netproxy/tls/confinement.h"
#include "netproxy/tls/server.h"

namespace bailey::netproxy {
namespace {

Result<std::map<std::string_view, int>> ParseArguments(int count, char** values) {
  std::map<std::string_view, int> numbers;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string_view text = values[i + 1];
    int number = -1;
    if (std::from_chars(text.data(), text.data() + text.size(), number).ec != std::errc() ||
        number < 0)
      return Invalid("not a number: \"" + std::string(text) + "\"");
    numbers[values[i]] = number;
  }
  for (const char* name : {"--control-fd", "--counters-fd", "--uid"})
    if (!numbers.contains(name))
      return Invalid(std::string(name) + " is missing", "bailey-supervisor starts this program");
  return numbers;
}

Status RaiseFileLimit() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return Errno("RLIMIT_NOFILE");
  files.rlim_cur = files.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &files) != 0) return Errno("RLIMIT_NOFILE");
  return {};
}

Status RunTls(int count, char** values) {
  SetLogName("tls");
  auto numbers = ParseArguments(count, values);
  if (!numbers) return numbers.error();
  ::signal(SIGPIPE, SIG_IGN);
  UniqueFd control((*numbers)["--control-fd"]);
  const UniqueFd counters_fd((*numbers)["--counters-fd"]);
  if (::fcntl(control.get(), F_SETFD, FD_CLOEXEC) != 0) return Errno("--control-fd");
  auto counters = CounterMapping<TlsCounter>::Map(counters_fd.get(), true);
  if (!counters) return counters.error();
  auto loop = EventLoop::Create();
  if (!loop) return loop.error();
  BAILEY_TRY(RaiseFileLimit());
  BAILEY_TRY(ConfineTls(static_cast<uint32_t>((*numbers)["--uid"])));
  TlsServer server(*loop, *counters->get(), std::move(control));
  BAILEY_TRY(server.Start());
  loop->Run();
  return {};
}

}  // namespace
}  // namespace bailey::netproxy

int main(int argc, char** argv) {
  const bailey::Status status = bailey::netproxy::RunTls(argc, argv);
  if (!status) bailey::LogError(status.error().Message());
  ::_exit(status ? EXIT_SUCCESS : EXIT_FAILURE);
}
