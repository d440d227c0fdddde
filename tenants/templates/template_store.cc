#include "tenants/templates/template_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <ctime>
#include <filesystem>
#include <optional>

#include "base/files.h"
#include "base/log.h"
#include "tenants/templates/remove_tree.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

std::string TemplatesDirectory(const std::string& state_dir) { return state_dir + "/templates"; }

// Names of the subdirectories; none when `path` does not exist.
std::vector<std::string> Subdirectories(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    std::error_code ignored;
    if (entry.is_directory(ignored) && !entry.is_symlink(ignored))
      names.push_back(entry.path().filename());
  }
  std::ranges::sort(names);
  return names;
}

std::optional<int> ParseGeneration(const std::string& name) {
  int number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size() || number < 1) return std::nullopt;
  return number;
}

Result<Template> ReadTemplate(const std::string& directory) {
  auto text = ReadFile(directory + "/template.json", 16 << 20);
  if (!text) return text.error();
  auto made = Template::FromJson(*text);
  if (!made) return made.error().Within(directory);
  made->directory = directory;
  return made;
}

}  // namespace

Status CheckTemplateName(std::string_view name) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  const auto allowed = [&](char c) { return plain(c) || c == '.' || c == '_' || c == '-'; };
  if (!name.empty() && name.size() <= 64 && plain(name.front()) &&
      std::ranges::all_of(name, allowed))
    return {};
  return Invalid("not a template name: \"" + std::string(name) + "\"",
                 "use up to 64 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit");
}

std::string Template::ToJson() const {
  json::object bind_object;
  for (const auto& [place, host] : binds) bind_object[place] = host;
  json::array hidden(hide.begin(), hide.end());
  json::object object{{"name", name},
                      {"generation", generation},
                      {"kind", kind},
                      {"created", created},
                      {"source", source},
                      {"binds", std::move(bind_object)},
                      {"hide", std::move(hidden)}};
  if (use) {
    object["bytes"] = use->bytes;
    object["inodes"] = use->inodes;
  }
  return json::serialize(object);
}

double Template::CreatedAt() const {
  std::tm utc{};
  if (::strptime(created.c_str(), "%Y-%m-%dT%H:%M:%SZ", &utc) == nullptr) return 0;
  return static_cast<double>(::timegm(&utc));
}

Result<Template> Template::FromJson(std::string_view text) {
  try {
    const json::value parsed = json::parse(json::string_view(text.data(), text.size()));
    const json::object& object = parsed.as_object();
    const auto string_at = [&](const char* key) {
      return json::value_to<std::string>(object.at(key));
    };
    Template made;
    made.name = string_at("name");
    made.generation = json::value_to<int>(object.at("generation"));
    made.kind = string_at("kind");
    made.created = string_at("created");
    made.source = string_at("source");
    if (const json::value* binds = object.if_contains("binds"))
      made.binds = json::value_to<std::map<std::string, std::string>>(*binds);
    if (const json::value* hide = object.if_contains("hide"))
      made.hide = json::value_to<std::vector<std::string>>(*hide);
    if (object.contains("bytes") && object.contains("inodes"))
      made.use = {json::value_to<uint64_t>(object.at("bytes")),
                  json::value_to<uint64_t>(object.at("inodes"))};
    return made;
  } catch (const std::exception& failure) {
    return Invalid(std::string("template.json is damaged: ") + failure.what());
  }
}

Result<std::vector<Template>> ListTemplates(const std::string& state_dir) {
  std::vector<Template> found;
  for (const std::string& name : Subdirectories(TemplatesDirectory(state_dir))) {
    if (!CheckTemplateName(name)) continue;
    auto newest = FindTemplate(state_dir, name);
    if (newest) {
      found.push_back(std::move(*newest));
    } else {
      LogWarning("template " + name + " is left out: " + newest.error().Message());
    }
  }
  return found;
}

Result<Template> FindTemplate(const std::string& state_dir, const std::string& name,
                              int generation) {
  BAILEY_TRY(CheckTemplateName(name));
  const std::string directory = TemplatesDirectory(state_dir) + "/" + name;
  int newest = 0;
  for (const std::string& entry : Subdirectories(directory)) {
    const auto number = ParseGeneration(entry);
    if (number && (generation == 0 || *number == generation)) newest = std::max(newest, *number);
  }
  if (newest == 0) {
    std::string what = "template " + name;
    if (generation != 0) what += "@" + std::to_string(generation);
    return Errno(what, ENOENT)
        .WithHint("bailey template ls shows those that exist; bailey template create makes one");
  }
  return ReadTemplate(directory + "/" + std::to_string(newest));
}

Status RemoveTemplate(const std::string& state_dir, const std::string& name) {
  BAILEY_TRY(CheckTemplateName(name));
  auto directory = OpenPath(TemplatesDirectory(state_dir), O_RDONLY | O_DIRECTORY);
  if (!directory) return Errno("template " + name, ENOENT);
  // One rename takes all generations out of sight; what follows may be interrupted.
  std::string doomed;
  for (unsigned number = 0;; ++number) {
    doomed = ".removing-" + name + "-" + std::to_string(number);
    if (::renameat2(directory->get(), name.c_str(), directory->get(), doomed.c_str(),
                    RENAME_NOREPLACE) == 0)
      break;
    if (errno == EEXIST) continue;
    return Errno("template " + name).WithHint("bailey template ls shows those that exist");
  }
  if (::fsync(directory->get()) != 0) return Errno("fsync templates");
  return RemoveTree(directory->get(), doomed);
}

Status RemoveTemplateLeftovers(const std::string& state_dir) {
  auto templates = OpenPath(TemplatesDirectory(state_dir), O_RDONLY | O_DIRECTORY);
  if (!templates) return {};  // none was ever made
  for (const std::string& name : Subdirectories(TemplatesDirectory(state_dir))) {
    if (!name.starts_with(".building-") && !name.starts_with(".removing-")) continue;
    auto directory = OpenBeneathNoSymlinks(templates->get(), name, O_RDONLY | O_DIRECTORY);
    if (!directory) continue;
    // A builder that outlived its daemon for a moment is cleaning up this very directory.
    if (::flock(directory->get(), LOCK_EX | LOCK_NB) != 0) continue;
    BAILEY_TRY(RemoveTree(templates->get(), name));
    LogInfo("removed a half-built template: " + name);
  }
  return {};
}

}  // namespace bailey::tenants
