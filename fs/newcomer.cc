#include "fs/newcomer.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include <memory>

#include "fs/file_copy.h"
#include "fs/layer_set.h"
#include "fs/thread_place.h"

namespace bailey::fs {
namespace {

constexpr char kDefaultAcl[] = "system.posix_acl_default";

constexpr mode_t kSetId = S_ISUID | S_ISGID;

// Without setuid and setgid, which a file gets when it is its caller's.
Done MakeAt(int directory, const char* name, const NewcomerSpec& spec, UniqueFd* file) {
  switch (spec.mode & S_IFMT) {
    case S_IFREG:
      file->Reset(::openat(directory, name, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC,
                           spec.mode & 07777 & ~kSetId));
      return DoneOrErrno(file->get());
    case S_IFDIR:
      return DoneOrErrno(::mkdirat(directory, name, spec.mode & 07777));
    case S_IFLNK:
      return DoneOrErrno(::symlinkat(spec.target.c_str(), directory, name));
    default:
      return DoneOrErrno(::mknodat(directory, name, spec.mode & ~kSetId, 0));
  }
}

// Gives the new object to its caller. The server makes it as root: that takes no CAP_SETUID, and
// costs nothing where the caller is root. Whether the caller may have setgid, the kernel has
// judged: it knows the caller's other groups. A directory has what it has inherited.
Done Own(int directory, const char* name, const NewcomerSpec& spec, const Caller& caller,
         struct stat* st) {
  if (::fstatat(directory, name, st, AT_SYMLINK_NOFOLLOW) != 0) return Refuse();
  gid_t gid = caller.gid;
  if (gid != st->st_gid) {
    struct stat parent {};
    if (::fstat(directory, &parent) != 0) return Refuse();
    if ((parent.st_mode & S_ISGID) != 0) gid = st->st_gid;
  }
  const mode_t set_id = (S_ISDIR(st->st_mode) ? st->st_mode : spec.mode) & kSetId;
  const bool owned = st->st_uid == caller.uid && st->st_gid == gid;
  if (owned && set_id == (st->st_mode & kSetId)) return {};
  if (!owned)
    BAILEY_TRY(DoneOrErrno(::fchownat(directory, name, caller.uid, gid, AT_SYMLINK_NOFOLLOW)));
  if (set_id != 0 && !S_ISLNK(st->st_mode))
    BAILEY_TRY(ChangeMode(directory, name, (st->st_mode & 07777) | set_id, AT_SYMLINK_NOFOLLOW));
  return DoneOrErrno(::fstatat(directory, name, st, AT_SYMLINK_NOFOLLOW));
}

// A directory in the work area from which new files inherit what they would from `parent`.
class Mould {
 public:
  static Answer<std::unique_ptr<Mould>> Make(WorkArea& work, int parent);
  int directory() const { return own_ ? own_.get() : work_.fd(); }

 private:
  explicit Mould(WorkArea& work) : work_(work) {}
  WorkArea& work_;
  std::unique_ptr<WorkItem> item_;
  UniqueFd own_;
};

Answer<std::unique_ptr<Mould>> Mould::Make(WorkArea& work, int parent) {
  std::unique_ptr<Mould> mould(new Mould(work));
  struct stat st {};
  if (::fstat(parent, &st) != 0) return Refuse();
  const std::string acl = AttributeOf(parent, kDefaultAcl);
  if (acl.empty() && (st.st_mode & S_ISGID) == 0) return mould;
  mould->item_ = std::make_unique<WorkItem>(work, work.NewName());
  const char* name = mould->item_->c_str();
  if (::mkdirat(work.fd(), name, 0700) != 0) return Refuse();
  mould->own_.Reset(::openat(work.fd(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!mould->own_) return Refuse();
  if (::fchown(mould->own_.get(), st.st_uid, st.st_gid) != 0) return Refuse();
  BAILEY_TRY(ChangeMode(mould->own_.get(), "", st.st_mode & 07777, AT_EMPTY_PATH));
  if (!acl.empty() && ::fsetxattr(mould->own_.get(), kDefaultAcl, acl.data(), acl.size(), 0) != 0)
    return Refuse();
  return mould;
}

Done MakeOpaque(int directory, const char* name) {
  const auto fd = OpenDirectoryBeneath(directory, name);
  if (!fd) return fd.error();
  return DoneOrErrno(::fsetxattr(fd->get(), kOpaqueMark, "y", 1, 0));
}

Answer<Newcomer> ReplaceWhiteout(WorkArea& work, int parent, const std::string& name,
                                 const NewcomerSpec& spec, const Caller& caller) {
  const auto mould = Mould::Make(work, parent);
  if (!mould) return mould.error();
  const int from = (*mould)->directory();
  const std::string own_name = work.NewName();
  Newcomer made;
  BAILEY_TRY(MakeAt(from, own_name.c_str(), spec, &made.file));
  Done done = Own(from, own_name.c_str(), spec, caller, &made.st);
  const bool is_directory = S_ISDIR(spec.mode);
  if (done && is_directory && spec.opaque) done = MakeOpaque(from, own_name.c_str());
  if (done)
    done = DoneOrErrno(::renameat2(from, own_name.c_str(), parent, name.c_str(),
                                   is_directory ? RENAME_EXCHANGE : 0));
  // What is left under our name: nothing, the whiteout, or what could not be finished.
  if (::unlinkat(from, own_name.c_str(), 0) != 0 && errno == EISDIR)
    (void)::unlinkat(from, own_name.c_str(), AT_REMOVEDIR);
  if (!done) return done.error();
  return made;
}

}  // namespace

Answer<Newcomer> MakeNewcomer(WorkArea& work, int parent, const std::string& name,
                              const NewcomerSpec& spec, const Caller& caller) {
  ThreadPlace::SetUmask(caller.umask);
  Newcomer made;
  Done done = MakeAt(parent, name.c_str(), spec, &made.file);
  if (done) {
    done = Own(parent, name.c_str(), spec, caller, &made.st);
    if (!done) return done.error();
    return made;
  }
  if (done.error().number != EEXIST) return done.error();
  struct stat st {};
  if (::fstatat(parent, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return Refuse();
  if (!IsWhiteout(st)) return Refuse(EEXIST);
  return ReplaceWhiteout(work, parent, name, spec, caller);
}

Answer<Newcomer> MakeNameless(WorkArea& work, int parent, mode_t mode, const Caller& caller,
                              const std::string& work_name) {
  ThreadPlace::SetUmask(caller.umask);
  const auto mould = Mould::Make(work, parent);
  if (!mould) return mould.error();
  const NewcomerSpec spec{(mode & 07777) | S_IFREG, {}, false};
  Newcomer made;
  const int from = (*mould)->directory();
  BAILEY_TRY(MakeAt(from, work_name.c_str(), spec, &made.file));
  BAILEY_TRY(Own(from, work_name.c_str(), spec, caller, &made.st));
  if (from != work.fd() && ::renameat(from, work_name.c_str(), work.fd(), work_name.c_str()) != 0)
    return Refuse();
  return made;
}

}  // namespace bailey::fs
