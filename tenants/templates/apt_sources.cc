#include "tenants/templates/apt_sources.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <sstream>

#include "base/files.h"

namespace bailey::tenants {
namespace {

constexpr std::string_view kDebian = "http://deb.debian.org/debian";
constexpr std::array<std::string_view, 9> kReleases = {
    "bullseye", "bookworm", "trixie", "forky", "oldstable", "stable", "testing", "unstable", "sid"};

std::vector<std::string> Words(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::string TrimSlash(std::string uri) {
  while (uri.ends_with('/')) uri.pop_back();
  return uri;
}

bool HasMain(const AptSource& source) {
  return std::ranges::find(source.components, "main") != source.components.end();
}

// The options of "deb [signed-by=/x arch=amd64] http://…", removed from `line`.
std::string TakeOptions(std::string* line) {
  const size_t open = line->find('[');
  const size_t close = line->find(']');
  if (open == std::string::npos || close == std::string::npos || close < open) return {};
  std::string options = line->substr(open + 1, close - open - 1);
  line->erase(open, close - open + 1);
  return options;
}

std::string KeyringIn(const std::string& options) {
  for (const std::string& word : Words(options))
    if (word.starts_with("signed-by=/")) return word.substr(sizeof("signed-by=") - 1);
  return {};
}

// One stanza of deb822 as a map with lower-case keys; continuation lines are joined by blanks.
using Stanza = std::map<std::string, std::string>;

std::vector<Stanza> ParseStanzas(std::string_view text) {
  std::vector<Stanza> stanzas(1);
  std::istringstream stream{std::string(text)};
  std::string key;
  for (std::string line; std::getline(stream, line);) {
    if (line.starts_with('#')) continue;
    if (line.find_first_not_of(" \t\r") == std::string::npos) {
      if (!stanzas.back().empty()) stanzas.emplace_back();
    } else if (line.front() == ' ' || line.front() == '\t') {
      if (!key.empty()) stanzas.back()[key] += " " + line;
    } else if (const size_t colon = line.find(':'); colon != std::string::npos) {
      key = line.substr(0, colon);
      std::ranges::transform(key, key.begin(), [](unsigned char c) { return std::tolower(c); });
      stanzas.back()[key] = line.substr(colon + 1);
    }
  }
  return stanzas;
}

std::vector<AptSource> SourcesOf(Stanza& stanza) {
  const std::vector<std::string> types = Words(stanza["types"]);
  const std::vector<std::string> enabled = Words(stanza["enabled"]);
  if (std::ranges::find(types, "deb") == types.end()) return {};
  if (!enabled.empty() && (enabled[0] == "no" || enabled[0] == "false")) return {};
  const std::vector<std::string> signed_by = Words(stanza["signed-by"]);
  const bool keyring = signed_by.size() == 1 && signed_by[0].starts_with('/');
  std::vector<AptSource> sources;
  for (const std::string& uri : Words(stanza["uris"]))
    for (const std::string& suite : Words(stanza["suites"]))
      sources.push_back({TrimSlash(uri), suite, Words(stanza["components"]),
                         keyring ? signed_by[0] : std::string()});
  return sources;
}

const AptSource* Find(const std::vector<AptSource>& sources, std::string_view suite) {
  const auto found = std::ranges::find_if(
      sources, [&](const AptSource& source) { return source.suite == suite && HasMain(source); });
  return found == sources.end() ? nullptr : &*found;
}

const AptSource* FindAnyRelease(const std::vector<AptSource>& sources) {
  const auto found = std::ranges::find_if(sources, [](const AptSource& source) {
    return HasMain(source) && std::ranges::find(kReleases, source.suite) != kReleases.end();
  });
  return found == sources.end() ? nullptr : &*found;
}

}  // namespace

std::vector<AptSource> ParseOneLineSources(std::string_view text) {
  std::vector<AptSource> sources;
  std::istringstream stream{std::string(text)};
  for (std::string line; std::getline(stream, line);) {
    line = line.substr(0, line.find('#'));
    const std::string options = TakeOptions(&line);
    const std::vector<std::string> words = Words(line);
    if (words.size() < 3 || words[0] != "deb") continue;
    sources.push_back(
        {TrimSlash(words[1]), words[2], {words.begin() + 3, words.end()}, KeyringIn(options)});
  }
  return sources;
}

std::vector<AptSource> ParseDeb822Sources(std::string_view text) {
  std::vector<AptSource> sources;
  for (Stanza& stanza : ParseStanzas(text))
    for (AptSource& source : SourcesOf(stanza)) sources.push_back(std::move(source));
  return sources;
}

std::vector<AptSource> ReadAptSources(const std::string& apt_directory) {
  std::vector<std::string> paths;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(apt_directory + "/sources.list.d", error))
    paths.push_back(entry.path());
  std::ranges::sort(paths);
  paths.insert(paths.begin(), apt_directory + "/sources.list");
  std::vector<AptSource> sources;
  for (const std::string& path : paths) {
    const bool one_line = path.ends_with(".list");
    if (!one_line && !path.ends_with(".sources")) continue;
    const auto text = ReadFile(path);
    if (!text) continue;
    for (AptSource& source : one_line ? ParseOneLineSources(*text) : ParseDeb822Sources(*text))
      sources.push_back(std::move(source));
  }
  return sources;
}

SuiteMirror ChooseMirror(const std::vector<AptSource>& sources, std::string_view suite) {
  SuiteMirror mirror;
  const std::string name(suite);
  if (const AptSource* own = Find(sources, suite)) {
    mirror.main = *own;
  } else if (const AptSource* other = FindAnyRelease(sources)) {
    mirror.main = {other->uri, name, {"main"}, other->keyring};
  } else {
    mirror.main = {std::string(kDebian), name, {"main"}, {}};
  }
  for (const char* pocket : {"-security", "-updates"})
    if (const AptSource* source = Find(sources, name + pocket)) mirror.more.push_back(*source);
  return mirror;
}

std::string WithoutCredentials(std::string_view uri) {
  const size_t scheme = uri.find("://");
  if (scheme == std::string_view::npos) return std::string(uri);
  const size_t host = scheme + 3;
  const size_t slash = std::min(uri.find('/', host), uri.size());
  const size_t at = uri.substr(0, slash).rfind('@');
  if (at == std::string_view::npos || at < host) return std::string(uri);
  return std::string(uri.substr(0, host)) + std::string(uri.substr(at + 1));
}

std::string SourcesListFor(const SuiteMirror& mirror) {
  std::string text;
  const auto add = [&text](const AptSource& source) {
    text += "deb " + WithoutCredentials(source.uri) + " " + source.suite;
    for (const std::string& component : source.components) text += " " + component;
    text += "\n";
  };
  add(mirror.main);
  for (const AptSource& source : mirror.more) add(source);
  return text;
}

}  // namespace bailey::tenants
