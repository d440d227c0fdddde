#include "supervisor/namespace_owners.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <array>
#include <string>

#include "base/files.h"

namespace bailey::supervisor {
namespace {

struct Ownership {
  const char* name;
  bool tenant;  // else the host's
};
constexpr auto kOwnerships = std::to_array<Ownership>({{"mnt", false},
                                                       {"net", false},
                                                       {"pid", true},
                                                       {"ipc", true},
                                                       {"uts", true},
                                                       {"cgroup", true},
                                                       {"time", true}});

// A namespace is its inode on nsfs.
Result<ino_t> Identity(int ns) {
  struct stat status {};
  if (::fstat(ns, &status) != 0) return Errno("fstat a namespace");
  return status.st_ino;
}

Result<ino_t> IdentityAt(const std::string& path) {
  const auto ns = OpenPath(path, O_RDONLY);
  if (!ns) return ns.error();
  return Identity(ns->get());
}

Status CheckOwner(const std::string& path, ino_t wanted) {
  const auto ns = OpenPath(path, O_RDONLY);
  if (!ns) return ns.error();
  const UniqueFd owner(::ioctl(ns->get(), NS_GET_USERNS));
  if (!owner) return Errno("ask for the owner of " + path);
  const auto found = Identity(owner.get());
  if (!found) return found.error();
  if (*found != wanted) return Errno("check the owner of " + path, EPERM);
  return {};
}

}  // namespace

Status CheckNamespaceOwners(pid_t init) {
  const std::string theirs = "/proc/" + std::to_string(init) + "/ns/";
  const auto host = IdentityAt("/proc/self/ns/user");
  const auto tenant = IdentityAt(theirs + "user");
  if (!host) return host.error();
  if (!tenant) return tenant.error();
  if (*host == *tenant) return Errno("check that the user namespace is the tenant's", EPERM);
  for (const Ownership& row : kOwnerships)
    BAILEY_TRY(CheckOwner(theirs + row.name, row.tenant ? *tenant : *host));
  return {};
}

}  // namespace bailey::supervisor
