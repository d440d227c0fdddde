#include "tenants/templates/root_writer.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include <array>

#include "base/files.h"
#include "tenants/templates/remove_tree.h"

namespace bailey::tenants {

// Stopping: init passes TERM on to the shell, whose trap stops the services in their own order.
const std::string_view kServiceRc = R"(#!/bin/sh
# Runs when this tenant starts (process.start in its spec) and stays while it runs.
# Services that packages have installed start in the order of /etc/rc2.d; add your own below.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

stop_services() {
  for script in /etc/rc0.d/K*; do
    [ -x "$script" ] && "$script" stop
  done
  exit 0
}
trap stop_services TERM INT

for script in /etc/rc2.d/S*; do
  [ -x "$script" ] && "$script" start
done
[ -x /etc/rc.local ] && /etc/rc.local

while :; do
  sleep 86400 &
  wait $!
done
)";

const std::string_view kServicePolicy = R"(#!/bin/sh
# What invoke-rc.d asks before a package's script may start its service: /etc/rc is the init of this
# tenant, so a service may start as soon as it is installed, unless update-rc.d has disabled it.
# With "exit 101" as the only line, packages start nothing.
[ "$1" = --quiet ] && shift
case $2 in
  *start*)
    for link in /etc/rc2.d/S[0-9][0-9]"$1"; do
      [ -x "$link" ] && exit 0
    done
    exit 101
    ;;
esac
exit 0
)";

const std::string_view kEmptyRc = R"(#!/bin/sh
# Runs when this tenant starts (process.start in its spec) and stays while it runs.
# Nothing starts by default. For example, to serve /srv/www on the tenant's address:
#   httpd -p 80 -h /srv/www
trap 'exit 0' TERM INT

while :; do
  sleep 86400 &
  wait $!
done
)";

Status WriteServiceStart(const RootWriter& root) {
  BAILEY_TRY(root.File("etc/rc", kServiceRc, 0755));
  if (!root.Has("usr/sbin/invoke-rc.d") || root.Has("usr/sbin/policy-rc.d")) return {};
  return root.File("usr/sbin/policy-rc.d", kServicePolicy, 0755);
}

Result<RootWriter::Place> RootWriter::PlaceOf(const std::string& path) const {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) {
    UniqueFd top(::fcntl(root_, F_DUPFD_CLOEXEC, 3));
    if (!top) return Errno("dup");
    return Place{std::move(top), path};
  }
  const std::string parent = path.substr(0, slash);
  auto open = [&] { return OpenBeneathNoSymlinks(root_, parent, O_RDONLY | O_DIRECTORY); };
  auto fd = open();
  if (!fd) {
    if (fd.error().Errno() != ENOENT && fd.error().Errno() != ELOOP &&
        fd.error().Errno() != ENOTDIR)
      return fd.error();
    BAILEY_TRY(Directory(parent, 0755));
    fd = open();
    if (!fd) return fd.error();
  }
  return Place{std::move(*fd), path.substr(slash + 1)};
}

Status RootWriter::RemoveAt(const Place& place) const {
  return RemoveTree(place.parent.get(), place.name);
}

Status RootWriter::Directory(const std::string& path, mode_t mode) const {
  auto place = PlaceOf(path);
  if (!place) return place.error();
  const int parent = place->parent.get();
  struct stat info {};
  if (::fstatat(parent, place->name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
      !S_ISDIR(info.st_mode))
    BAILEY_TRY(RemoveAt(*place));
  if (::mkdirat(parent, place->name.c_str(), mode) != 0 && errno != EEXIST)
    return Errno("mkdir " + path);
  auto made = OpenBeneathNoSymlinks(parent, place->name, O_RDONLY | O_DIRECTORY);
  if (!made) return made.error();
  if (::fchown(made->get(), 0, 0) != 0) return Errno("chown " + path);
  if (::fchmod(made->get(), mode) != 0) return Errno("chmod " + path);
  return {};
}

Result<UniqueFd> RootWriter::NewFile(const std::string& path, mode_t mode) const {
  auto place = PlaceOf(path);
  if (!place) return place.error();
  BAILEY_TRY(RemoveAt(*place));
  UniqueFd fd(::openat(place->parent.get(), place->name.c_str(),
                       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return Errno("create " + path);
  if (::fchmod(fd.get(), mode) != 0) return Errno("chmod " + path);
  return fd;
}

Status RootWriter::File(const std::string& path, std::string_view text, mode_t mode) const {
  auto fd = NewFile(path, mode);
  if (!fd) return fd.error();
  return WriteAll(fd->get(), text);
}

Status RootWriter::CopyFrom(int source, const std::string& path, mode_t mode) const {
  auto fd = NewFile(path, mode);
  if (!fd) return fd.error();
  for (;;) {
    const ssize_t copied = ::sendfile(fd->get(), source, nullptr, 1 << 24);
    if (copied == 0) return {};
    if (copied < 0 && errno != EINTR) return Errno("copy to " + path);
  }
}

Status RootWriter::Symlink(const std::string& target, const std::string& path) const {
  auto place = PlaceOf(path);
  if (!place) return place.error();
  BAILEY_TRY(RemoveAt(*place));
  if (::symlinkat(target.c_str(), place->parent.get(), place->name.c_str()) != 0)
    return Errno("symlink " + path);
  return {};
}

Status RootWriter::Remove(const std::string& path) const {
  if (!Has(path)) return {};
  auto place = PlaceOf(path);
  if (!place) return place.error();
  return RemoveAt(*place);
}

bool RootWriter::Has(const std::string& path) const {
  return static_cast<bool>(OpenBeneathNoSymlinks(root_, path, O_PATH | O_NOFOLLOW));
}

Status WriteSkeleton(const RootWriter& root) {
  struct Entry {
    const char* path;
    mode_t mode;
  };
  constexpr auto kEntries = std::to_array<Entry>({
      {"dev", 0755},
      {"etc", 0755},
      {"home", 0755},
      {"mnt", 0755},
      {"opt", 0755},
      {"proc", 0555},
      {"root", 0700},
      {"run", 0755},
      {"srv", 0755},
      {"sys", 0555},
      {"tmp", 01777},
      {"var", 0755},
      {"var/cache", 0755},
      {"var/lib", 0755},
      {"var/log", 0755},
      {"var/spool", 0755},
      {"var/tmp", 01777},
  });
  for (const Entry& entry : kEntries) BAILEY_TRY(root.Directory(entry.path, entry.mode));
  return {};
}

}  // namespace bailey::tenants
