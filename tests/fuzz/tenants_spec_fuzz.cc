// What people write: specs and plans in TOML and JSON, bailey.toml, `bailey set`, sizes and times.
#include "base/units.h"
#include "tenants/config.h"
#include "tenants/host_resolver.h"
#include "tenants/spec_json.h"
#include "tenants/spec_toml.h"
#include "tests/fuzz/fuzz_input.h"

using bailey::FuzzInput;
using bailey::Require;
using namespace bailey::tenants;  // NOLINT(google-build-using-namespace): its parsers are meant

namespace {

// A complete spec can be written and read, and stays what it is.
void Check(const bailey::Result<Spec>& spec) {
  if (!spec) return;
  const auto object = SpecToJson(*spec);
  const auto again = ReadSpecJson(object);
  Require(again.has_value(), "a spec that was read can be written and read");
  Require(SpecToJson(*again) == object, "and is the same then");
  (void)Effective(*spec, Spec{});
}

void SetKey(FuzzInput& input) {
  Spec spec;
  const std::string path = input.Text();
  const auto before = SpecToJson(spec);
  if (!SetSpecKeyText(spec, path, input.RestText()))
    Require(SpecToJson(spec) == before, "an error leaves the spec as it was");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  switch (input.Below(7)) {
    case 0:
      Check(SpecFromToml(input.RestText()));
      break;
    case 1:
      (void)PlanFromToml(input.RestText());
      break;
    case 2:
      Check(ParseSpecJson(input.RestText()));
      break;
    case 3:
      SetKey(input);
      break;
    case 4:
      (void)ParseDaemonConfig(input.RestText());
      break;
    case 5:
      (void)ParseResolvConf(input.RestText());
      break;
    default: {
      const std::string text = input.RestText();
      (void)bailey::ParseSize(text);
      (void)bailey::ParseDuration(text);
    }
  }
  return 0;
}
