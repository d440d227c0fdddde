#include "supervisor/passwd_lookup.h"

#include <array>
#include <charconv>

namespace bailey::supervisor {
namespace {

// Cuts off and returns what is before the first `separator`, or all of it.
std::string_view Take(std::string_view& text, char separator) {
  const size_t end = text.find(separator);
  const std::string_view head(text.data(), end == std::string_view::npos ? text.size() : end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return head;
}

bool ParseId(std::string_view text, unsigned* id) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *id);
  return error == std::errc() && end == text.data() + text.size() && *id <= kLargestId;
}

// name:password:uid:gid:comment:home:shell
bool ParseUser(std::string_view line, PasswdUser* user) {
  std::array<std::string_view, 7> fields;
  for (std::string_view& field : fields) field = Take(line, ':');
  user->name = fields[0];
  user->home = fields[5];
  user->shell = fields[6];
  return !user->name.empty() && ParseId(fields[2], &user->uid) && ParseId(fields[3], &user->gid);
}

bool FindLine(std::string_view passwd, std::string_view name, const unsigned* uid,
              PasswdUser* user) {
  while (!passwd.empty()) {
    PasswdUser each;
    if (!ParseUser(Take(passwd, '\n'), &each)) continue;
    if (uid != nullptr ? each.uid == *uid : each.name == name) {
      *user = each;
      return true;
    }
  }
  return false;
}

bool FindGroup(std::string_view group, std::string_view wanted, gid_t* gid) {
  while (!group.empty()) {
    std::string_view line = Take(group, '\n');
    const std::string_view name = Take(line, ':');
    Take(line, ':');
    if (name == wanted && ParseId(Take(line, ':'), gid)) return true;
  }
  return ParseId(wanted, gid);
}

bool FindNamedOrNumbered(std::string_view passwd, std::string_view wanted, PasswdUser* user) {
  if (FindLine(passwd, wanted, nullptr, user)) return true;
  unsigned uid = 0;
  if (!ParseId(wanted, &uid)) return false;
  if (!FindLine(passwd, {}, &uid, user)) *user = {wanted, uid, 0, "/", "/bin/sh"};
  return true;
}

}  // namespace

bool FindUser(std::string_view passwd, std::string_view group, std::string_view wanted,
              PasswdUser* user) {
  const bool with_group = wanted.find(':') != std::string_view::npos;
  const std::string_view name = Take(wanted, ':');
  if (name.empty() || name == "root" || name == "0") {
    // Whatever the file says: root is uid 0, and without a line it is still root.
    constexpr unsigned kRoot = 0;
    if (!FindLine(passwd, {}, &kRoot, user)) *user = PasswdUser{};
  } else if (!FindNamedOrNumbered(passwd, name, user)) {
    return false;
  }
  return !with_group || FindGroup(group, wanted, &user->gid);
}

size_t FindGroups(std::string_view group, std::string_view name, std::span<gid_t> out) {
  size_t count = 0;
  while (!group.empty() && count < out.size()) {
    std::string_view line = Take(group, '\n');
    Take(line, ':');
    Take(line, ':');
    gid_t gid = 0;
    if (!ParseId(Take(line, ':'), &gid)) continue;
    while (!line.empty())
      if (Take(line, ',') == name) {
        out[count++] = gid;
        break;
      }
  }
  return count;
}

}  // namespace bailey::supervisor
