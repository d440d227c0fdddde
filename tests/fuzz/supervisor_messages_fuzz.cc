// What the supervisor reads: requests on control.sock, a tenant's configuration, the proxy's
// messages. The first byte says which.
#include "supervisor/allow.h"
#include "supervisor/cgroup_host.h"
#include "supervisor/control_request.h"
#include "supervisor/proxy_message.h"
#include "supervisor/tenant_config.h"
#include "tests/fuzz/fuzz_input.h"

using bailey::FuzzInput;
using bailey::Require;
using namespace bailey::supervisor;  // NOLINT(google-build-using-namespace): its parsers are meant

namespace {

void ReadProxyMessage(FuzzInput& input) {
  const size_t fds = input.Below(130);
  const auto message = ParseProxyMessage(input.RestText(), fds);
  if (!message) return;
  if (const auto* keep = std::get_if<KeepRequest>(&*message))
    Require(keep->names.size() == fds && fds <= kMaxKeptFds, "a name for each descriptor");
  if (const auto* inside = std::get_if<InsideRequest>(&*message))
    Require(inside->count <= kMaxInsideSockets, "a bounded number of sockets");
  if (const auto* listener = std::get_if<ListenerRequest>(&*message))
    Require(listener->port.port != 0, "a port");
}

void ReadTenantConfig(FuzzInput& input) {
  const auto config = ParseTenantConfig(input.RestText());
  if (!config) return;
  (void)ParseAllow(config->allow);
  const std::string written = FormatTenantConfig(*config);
  const auto again = ParseTenantConfig(written);
  Require(again.has_value(), "a configuration that was read can be written and read");
  Require(FormatTenantConfig(*again) == written, "and is the same then");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  switch (input.Below(5)) {
    case 0:
      (void)ParseControlRequest(input.RestText());
      break;
    case 1:
      ReadTenantConfig(input);
      break;
    case 2:
      (void)ParseLimits(input.RestText(), Limits{});
      break;
    case 3:
      ReadProxyMessage(input);
      break;
    default:
      (void)CgroupHost::FromMountinfo(input.RestText());
  }
  return 0;
}
