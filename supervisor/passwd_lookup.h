// Users and groups as /etc/passwd and /etc/group of a tenant state them. Pure functions over the
// files' text, used behind the tenant's walls alone: what a tenant wrote is parsed as the tenant.
// passwd(5), group(5). A line that is not as it should be is passed over.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string_view>

namespace bailey::supervisor {

inline constexpr unsigned kLargestId = 65534;  // what is mapped inside

struct PasswdUser {  // views into the text; the default is a root that no file states
  std::string_view name = "root";
  uid_t uid = 0;
  gid_t gid = 0;
  std::string_view home = "/root";
  std::string_view shell = "/bin/sh";
};

// "www-data", "33", "www-data:adm" or "33:4"; empty: root. A number needs no line of its own (its
// group is then 0 and its home /), a name does. False if there is no such user or group.
bool FindUser(std::string_view passwd, std::string_view group, std::string_view wanted,
              PasswdUser* user);
// The groups that list `name` as a member, as many as fit; returns their count.
size_t FindGroups(std::string_view group, std::string_view name, std::span<gid_t> out);

}  // namespace bailey::supervisor
