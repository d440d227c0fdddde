#include "tenants/removal.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/files.h"
#include "tenants/templates/remove_tree.h"

namespace bailey::tenants {
namespace {

std::string Removing(const Paths& paths) { return paths.state + "/removing"; }

Status SyncDirectory(const std::string& path) {
  auto directory = OpenPath(path, O_RDONLY | O_DIRECTORY);
  if (!directory) return directory.error();
  if (::fsync(directory->get()) != 0) return Errno("fsync " + path);
  return {};
}

bool Exists(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0;
}

std::vector<std::string> EntriesOf(const std::string& path) {
  std::vector<std::string> names;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(path, failed))
    names.push_back(entry.path().filename());
  return names;
}

Result<std::string> MoveAway(const Paths& paths, const std::string& from, const std::string& name) {
  if (!Exists(from)) return std::string();
  BAILEY_TRY(MakeDirectories(Removing(paths), 0700));
  std::string to;
  for (unsigned number = 0;; ++number) {
    to = Removing(paths) + "/" + name + "." + std::to_string(number);
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) break;
    if (errno != EEXIST) return Errno("rename " + from);
  }
  return to;
}

}  // namespace

Result<std::string> MoveTenantAway(const Paths& paths, const std::string& name) {
  auto to = MoveAway(paths, paths.TenantState(name), name);
  if (!to || to->empty()) return to;
  BAILEY_TRY(SyncDirectory(paths.state + "/tenants"));
  return to;
}

Result<std::string> MovePartAway(const Paths& paths, const std::string& name,
                                 const std::string& part) {
  return MoveAway(paths, paths.TenantState(name) + "/" + part, name);
}

Status RemoveMoved(const std::string& path) {
  if (path.empty()) return {};
  return RemoveTree(path);
}

std::vector<std::string> HalfRemovedTenants(const Paths& paths) {
  std::vector<std::string> names;
  for (const std::string& entry : EntriesOf(Removing(paths))) {
    const std::string name = entry.substr(0, entry.find('.'));
    if (!Exists(paths.TenantState(name))) names.push_back(name);
  }
  return names;
}

Status RemoveAllMoved(const Paths& paths) {
  for (const std::string& entry : EntriesOf(Removing(paths)))
    BAILEY_TRY(RemoveTree(Removing(paths) + "/" + entry));
  return {};
}

}  // namespace bailey::tenants
