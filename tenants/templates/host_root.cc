#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "base/files.h"
#include "tenants/templates/host_etc.h"
#include "tenants/templates/root_builders.h"
#include "tenants/templates/root_writer.h"
#include "tenants/templates/tree_walk.h"

namespace bailey::tenants {
namespace {

// Root inside is uid 0 on disk, so the kernel would let it read what the host keeps for its own
// root. Hence: what not everybody on the host may read is hidden, and so is what is no program's
// data at all.
bool MustHide(const TreeEntry& entry) {
  const mode_t mode = entry.info.st_mode;
  if (S_ISLNK(mode)) return false;
  if (entry.path == "local/etc") return true;  // the administrator's, by hier(7): never a package's
  if (entry.other_mount) return true;
  if (S_ISDIR(mode)) return (mode & 0005) != 0005;
  if (S_ISREG(mode)) return (mode & 0004) == 0;
  return true;  // devices, sockets, fifos
}

Result<std::vector<std::string>> FindHidden(const std::string& usr) {
  auto directory = OpenPath(usr, O_RDONLY | O_DIRECTORY);
  if (!directory) return directory.error();
  std::vector<std::string> hidden;
  const Status walked = WalkTree(directory->get(), [&](const TreeEntry& entry) -> Result<Walk> {
    if (!MustHide(entry)) return Walk::kEnter;
    hidden.push_back("usr/" + entry.path);
    return Walk::kSkip;
  });
  if (!walked) return walked.error().Within(usr);
  return hidden;
}

// bin, lib … as the host has them; on a host that has not merged them into /usr there would be
// directories to project besides, which Debian has not supported since 12.
Status LinkIntoUsr(const std::string& host, const RootWriter& root) {
  for (const std::string name : {"bin", "sbin", "lib", "lib32", "lib64", "libx32"}) {
    std::array<char, 256> target{};
    std::string path = host;
    path.append("/").append(name);
    const ssize_t length = ::readlink(path.c_str(), target.data(), target.size() - 1);
    if (length > 0) {
      BAILEY_TRY(root.Symlink(std::string(target.data(), static_cast<size_t>(length)), name));
    } else if (errno != ENOENT) {
      return Invalid("/" + name + " is not a link into /usr", "merge it: apt-get install usrmerge");
    }
  }
  return {};
}

}  // namespace

Status BuildHostRoot(const RootBuild& build, Template* made) {
  const RootWriter root(build.root);
  build.progress("making the skeleton", 5);
  BAILEY_TRY(WriteSkeleton(root));
  BAILEY_TRY(root.Directory("usr", 0755));
  BAILEY_TRY(root.Directory("srv/www", 0755));
  BAILEY_TRY(root.Directory("var/mail", 02775));
  BAILEY_TRY(root.Symlink("/run", "var/run"));
  BAILEY_TRY(root.Symlink("/run/lock", "var/lock"));
  BAILEY_TRY(LinkIntoUsr(build.host, root));
  build.progress("making etc from the allow-list", 20);
  BAILEY_TRY(WriteHostEtc(build.host, root));
  build.progress("looking for what must stay hidden in /usr", 40);
  const std::string usr = build.host == "/" ? "/usr" : build.host + "/usr";
  auto hidden = FindHidden(usr);
  if (!hidden) return hidden.error();
  made->binds = {{"usr", usr}};
  made->hide = std::move(*hidden);
  made->source = "this host's /usr";
  return {};
}

}  // namespace bailey::tenants
