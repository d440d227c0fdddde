// The command line of bailey-fs: words separated by zero bytes, mount options among them.
#include "fs/options.h"
#include "fs/projection.h"
#include "tests/fuzz/fuzz_input.h"

using bailey::FuzzInput;
using bailey::Require;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::string> words(1);
  for (const char c : FuzzInput(data, size).RestText()) {
    if (c == '\0')
      words.emplace_back();
    else
      words.back() += c;
  }
  const auto options = bailey::fs::ParseOptions(words);
  if (!options || options->help) return 0;
  Require(options->readers >= 1 && options->readers <= 64, "a sane number of readers");
  if (options->counters || options->remount) return 0;
  Require(options->is_tenants() ? !options->lower_fds.empty() : !options->lowers.empty(),
          "there is a lower");
  Require(options->is_tenants() || !options->confine, "only a tenant's server is confined");
  (void)bailey::fs::Projection::Make(options->hidden);
  return 0;
}
