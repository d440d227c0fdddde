// Egress rules, addresses, the proxy's configuration, and what a stranger says first.
#include "netproxy/config.h"
#include "netproxy/egress_policy.h"
#include "netproxy/egress_rule.h"
#include "netproxy/first_bytes.h"
#include "tests/fuzz/fuzz_input.h"

using bailey::FuzzInput;
using bailey::Require;
using namespace bailey::netproxy;  // NOLINT(google-build-using-namespace): its parsers are meant

namespace {

void ReadRule(const std::string& text) {
  const auto rule = EgressRule::Parse(text);
  if (!rule) return;
  const auto again = EgressRule::Parse(rule->ToString());
  Require(again.has_value() && *again == *rule, "a rule that was read can be written and read");
}

void ReadAddresses(const std::string& text) {
  if (const auto address = bailey::IpAddress::Parse(text)) {
    const auto again = bailey::IpAddress::Parse(address->ToString());
    Require(again.has_value() && *again == *address, "an address reads back");
  }
  (void)bailey::Cidr::Parse(text);
}

void ReadConfig(const std::string& text) {
  (void)ParseConfigMessage(text);
  const auto config = ParseProxyConfig(text);
  if (!config) return;
  const auto again = ParseProxyConfig(FormatProxyConfig(*config));
  Require(again.has_value() && *again == *config, "a configuration reads back");
}

// What has been decided stays so, whatever follows; and enough bytes do decide.
void ReadFirstBytes(const std::string& text) {
  FirstBytes before = FirstBytes::kTooFew;
  for (size_t size = 0; size <= text.size() && size <= kEnoughFirstBytes; ++size) {
    const FirstBytes now = JudgeFirstBytes(std::string_view(text).substr(0, size));
    Require(before == FirstBytes::kTooFew || now == before, "a decision stays");
    before = now;
  }
  Require(text.size() < kEnoughFirstBytes || before != FirstBytes::kTooFew, "enough bytes decide");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  switch (input.Below(4)) {
    case 0:
      ReadRule(input.RestText());
      break;
    case 1:
      ReadAddresses(input.RestText());
      break;
    case 2:
      ReadConfig(input.RestText());
      break;
    default:
      ReadFirstBytes(input.RestText());
  }
  return 0;
}
