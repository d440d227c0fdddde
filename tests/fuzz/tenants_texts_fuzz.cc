// Texts of the host and of foreign programs: apt's sources, the host's users, debootstrap's output,
// template.json, the kernel's table of sockets.
#include "tenants/templates/apt_sources.h"
#include "tenants/templates/debootstrap_progress.h"
#include "tenants/templates/host_etc.h"
#include "tenants/templates/template_store.h"
#include "tests/fuzz/fuzz_input.h"

using bailey::FuzzInput;
using bailey::Require;
using namespace bailey::tenants;  // NOLINT(google-build-using-namespace): its parsers are meant

namespace {

void ReadSources(const std::vector<AptSource>& sources) {
  for (const AptSource& source : sources)
    Require(source.uri.find('\n') == std::string::npos, "a URI is one line");
  const SuiteMirror mirror = ChooseMirror(sources, "bookworm");
  Require(!mirror.main.uri.empty(), "there is always a mirror");
  (void)SourcesListFor(mirror);
}

void ReadUsers(FuzzInput& input) {
  const std::string passwd = input.Text();
  const std::string group = input.RestText();
  for (const std::string& text : {SystemUsersOnly(passwd), SystemGroupsOnly(group, passwd)})
    Require(text.empty() || text.ends_with('\n'), "whole lines");
  (void)LocaleOnly(passwd);
  (void)LooksSecret(passwd, group);
}

void ReadProgress(const std::string& text) {
  int last = 0;
  DebootstrapProgress progress([&](std::string_view, int percent) {
    Require(percent >= last && percent <= 100, "progress never goes back");
    last = percent;
  });
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find('\n', start), text.size());
    progress.Line(std::string_view(text).substr(start, end - start));
    start = end + 1;
  }
  (void)progress.Problems();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  switch (input.Below(6)) {
    case 0:
      ReadSources(ParseOneLineSources(input.RestText()));
      break;
    case 1:
      ReadSources(ParseDeb822Sources(input.RestText()));
      break;
    case 2:
      ReadUsers(input);
      break;
    case 3:
      ReadProgress(input.RestText());
      break;
    default: {
      const auto made = Template::FromJson(input.RestText());
      if (made) Require(Template::FromJson(made->ToJson()).has_value(), "a template reads back");
      break;
    }
  }
  return 0;
}
