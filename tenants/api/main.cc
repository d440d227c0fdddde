// bailey-api --core-fd N --api-fd N [--metrics-fd N] [--uid N]: the part of baileyd that parses
// HTTP, JSON and TOML, without privileges. Started by baileyd; of no use to people.
#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <charconv>
#include <cstring>
#include <map>
#include <optional>
#include <string>

#include "base/log.h"
#include "tenants/api/confinement.h"
#include "tenants/api/core_client.h"
#include "tenants/api/listener.h"

namespace {

using bailey::Result;
using bailey::Status;
using bailey::UniqueFd;
namespace tenants = bailey::tenants;

constexpr const char* kUsage =
    "usage: bailey-api --core-fd N --api-fd N [--metrics-fd N] [--uid N]";
constexpr int kNobody = 65534;
// Metrics have places of their own, so that a crowd there keeps nobody from the API.
constexpr size_t kMaxScrapers = 16;

Result<std::map<std::string, int>> ParseFlags(int argc, char** argv) {
  std::map<std::string, int> flags{{"--uid", kNobody}, {"--metrics-fd", -1}};
  for (int i = 1; i < argc; i += 2) {
    int value = -1;
    const char* text = i + 1 < argc ? argv[i + 1] : "";
    const char* end = text + std::strlen(text);
    if (std::from_chars(text, end, value).ptr != end || value < 0) return bailey::Invalid(kUsage);
    flags[argv[i]] = value;
  }
  if (flags.size() != 4 || !flags.contains("--core-fd") || !flags.contains("--api-fd"))
    return bailey::Invalid(kUsage);
  return flags;
}

Status StartListener(boost::asio::io_context& io, int socket, tenants::CoreClient& core,
                     const tenants::ListenerOptions& options) {
  auto listener = tenants::Listener::Create(io, UniqueFd(socket), core, options);
  if (!listener) return listener.error();
  (*listener)->Start();
  return {};
}

Status Serve(std::map<std::string, int>& flags) {
  std::optional<bailey::Error> end;
  boost::asio::io_context io(1);
  auto core = tenants::CoreClient::Create(io, UniqueFd(flags["--core-fd"]), [&](bailey::Error why) {
    end = std::move(why);
    io.stop();
  });
  if (!core) return core.error();
  BAILEY_TRY(StartListener(io, flags["--api-fd"], **core, {tenants::Surface::kApi, 128, {}}));
  if (flags["--metrics-fd"] >= 0)
    BAILEY_TRY(StartListener(io, flags["--metrics-fd"], **core,
                             {tenants::Surface::kMetrics, kMaxScrapers, {}}));
  BAILEY_TRY(tenants::ConfineApiProcess(static_cast<uid_t>(flags["--uid"])));
  io.run();
  // The core has ended, as it may at any time: no error of ours.
  if (end && end->Errno() == EPIPE) return {};
  return end ? Status(*end) : Status();
}

}  // namespace

#ifdef BAILEY_SANITIZE
// Looking for leaks at the end takes clone and ptrace, which the walls do not let through.
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }
#endif

int main(int argc, char** argv) {
  bailey::SetLogName("baileyd-api");
  try {
    auto flags = ParseFlags(argc, argv);
    const Status served = flags ? Serve(*flags) : Status(flags.error());
    if (served) return 0;
    bailey::LogError(served.error().Message());
  } catch (const std::exception& failure) {
    bailey::LogError(failure.what());
  }
  return 1;
}
