#include "supervisor/mount_tree.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/files.h"
#include "base/syscalls.h"

namespace bailey::supervisor {
namespace {

// What a child says of its work: a descriptor's number in the shared table, or why not.
struct ChildReport {
  int fd = -1;
  int error = 0;
  std::array<char, 256> context{};
};

[[noreturn]] void RunOpener(const std::function<Result<UniqueFd>()>& body, int report_fd) {
  ChildReport report;
  Result<UniqueFd> opened = body();
  if (opened) {
    report.fd = opened->Release();
  } else {
    report.error = opened.error().Errno();
    opened.error().context.copy(report.context.data(), report.context.size() - 1);
  }
  const ssize_t n = ::write(report_fd, &report, sizeof report);
  ::_exit(n == sizeof report ? 0 : 1);
}

}  // namespace

Result<UniqueFd> NewMount(const char* type, const MountOptions& options, unsigned attributes) {
  const UniqueFd context(::fsopen(type, FSOPEN_CLOEXEC));
  if (!context) return Errno(std::string("fsopen ") + type);
  return FinishMount(context.get(), type, options, attributes);
}

Result<UniqueFd> FinishMount(int context, const char* type, const MountOptions& options,
                             unsigned attributes) {
  for (const auto& [key, value] : options)
    if (::fsconfig(context, FSCONFIG_SET_STRING, key, value.c_str(), 0) != 0)
      return Errno(std::string("fsconfig ") + type + " " + key + "=" + value);
  if (::fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
    return Errno(std::string("create a file system of type ") + type);
  UniqueFd mount(::fsmount(context, FSMOUNT_CLOEXEC, attributes));
  if (!mount) return Errno(std::string("fsmount ") + type);
  return mount;
}

Result<UniqueFd> CloneMount(int dir, const std::string& path, bool recursive) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
  if (recursive) flags |= AT_RECURSIVE;
  if (path.empty()) flags |= AT_EMPTY_PATH;
  UniqueFd mount(::open_tree(dir, path.c_str(), flags));
  if (!mount) return Errno("open_tree " + (path.empty() ? std::string("of a descriptor") : path));
  return mount;
}

Status AddMountAttributes(int mount, uint64_t attributes, bool recursive) {
  mount_attr change{};
  change.attr_set = attributes;
  const unsigned flags = AT_EMPTY_PATH | (recursive ? static_cast<unsigned>(AT_RECURSIVE) : 0U);
  if (::mount_setattr(mount, "", flags, &change, sizeof change) != 0) return Errno("mount_setattr");
  return {};
}

Status IdmapMount(int mount, int userns) {
  mount_attr change{};
  change.attr_set = MOUNT_ATTR_IDMAP;
  change.userns_fd = static_cast<uint64_t>(userns);
  if (::mount_setattr(mount, "", AT_EMPTY_PATH, &change, sizeof change) != 0)
    return Errno("idmap a mount");
  return {};
}

Status AttachMount(int mount, int target) {
  if (::move_mount(mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
    return Errno("move_mount");
  return {};
}

Status AttachAt(int root, const std::string& name, int mount) {
  const auto target = OpenBeneathNoSymlinks(root, name, O_PATH | O_DIRECTORY);
  if (!target) return target.error();
  Status attached = AttachMount(mount, target->get());
  return attached ? attached : Status(attached.error().Within("attach /" + name));
}

Status CheckMountFlags(int mount, unsigned long st_flags, const std::string& what) {
  struct statvfs held {};
  if (::fstatvfs(mount, &held) != 0) return Errno("fstatvfs " + what);
  if ((held.f_flag & st_flags) != st_flags) return Errno("check the mount flags of " + what, EPERM);
  return {};
}

Result<UniqueFd> OpenInChild(const std::function<Result<UniqueFd>()>& body) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return Errno("pipe2");
  const UniqueFd read_end(pipe[0]), write_end(pipe[1]);
  clone_args args{};
  args.flags = CLONE_FILES;  // no exit signal: only __WALL sees this child
  const pid_t pid = sys::Clone3(args);
  if (pid < 0) return Errno("clone3 of a helper");
  if (pid == 0) RunOpener(body, write_end.get());
  int status = 0;
  while (::waitpid(pid, &status, __WALL) < 0 && errno == EINTR) {
  }
  ChildReport report;
  if (status != 0 || ::read(read_end.get(), &report, sizeof report) != sizeof report)
    return Errno("run a helper", EIO);
  if (report.fd < 0) return Errno(report.context.data(), report.error);
  return UniqueFd(report.fd);
}

}  // namespace bailey::supervisor
