// Reading the host's apt sources: which mirror it uses for which suite. sources.list(5), both the
// one-line and the deb822 style. Pure functions of the texts, and one that reads the files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bailey::tenants {

struct AptSource {
  std::string uri;    // without a slash at the end
  std::string suite;  // "bookworm-security"
  std::vector<std::string> components;
  std::string keyring;  // Signed-By as an absolute path, or empty
  bool operator==(const AptSource&) const = default;
};

// Enabled binary ("deb") entries in the order of the text; what cannot be understood is left out.
std::vector<AptSource> ParseOneLineSources(std::string_view text);
std::vector<AptSource> ParseDeb822Sources(std::string_view text);
// sources.list, then sources.list.d by name, below `apt_directory` ("/etc/apt").
std::vector<AptSource> ReadAptSources(const std::string& apt_directory);

// Where a suite comes from.
struct SuiteMirror {
  AptSource main;               // the suite itself
  std::vector<AptSource> more;  // its -security and -updates, as far as this host has them
};
// The host's own mirror for `suite`; where it has none, the one that it uses for the release that
// it runs, and else Debian's. Only archives that can hold a whole release count: component main,
// and a suite that is `suite` or one of Debian's own releases.
SuiteMirror ChooseMirror(const std::vector<AptSource>& sources, std::string_view suite);

// The text of /etc/apt/sources.list for a root made from `mirror`. User names and passwords in
// URIs stay with the host.
std::string SourcesListFor(const SuiteMirror& mirror);
std::string WithoutCredentials(std::string_view uri);

}  // namespace bailey::tenants
