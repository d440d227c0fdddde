// Tree: chmod, chown, truncate, utimens and extended attributes.
#include <fcntl.h>
#include <sys/xattr.h>

#include <algorithm>
#include <optional>

#include "fs/file_copy.h"
#include "fs/setgid_capability.h"
#include "fs/thread_place.h"
#include "fs/tree.h"

namespace bailey::fs {
namespace {

constexpr size_t kMaxValue = 64UL * 1024;  // XATTR_SIZE_MAX and XATTR_LIST_MAX

// The first bit of Node::lacks_capability. Whoever finds that there is none says so only if nobody
// has set one meanwhile.
constexpr uint32_t kLacksCapability = 1;
void CapabilityWasSet(Node& node) {
  uint32_t known = node.lacks_capability;
  while (!node.lacks_capability.compare_exchange_weak(known, (known | kLacksCapability) + 1)) {
  }
}

// What a tenant may see and set. The kernel has checked who may set which of these; trusted. is
// overlayfs' and ours, and other security. attributes are the host's policy.
bool IsTenants(std::string_view name) {
  return name.starts_with("user.") || name == kCapability || name == "system.posix_acl_access" ||
         name == "system.posix_acl_default";
}

// An attribute call needs an open file, or a name in the working directory: sees to either.
struct AttributeTarget {
  int file = -1;
  const char* name = nullptr;
};

Answer<AttributeTarget> Aim(const Place& place) {
  if (place.is_file()) return AttributeTarget{place.directory, nullptr};
  if (!ThreadPlace::Enter(place.directory)) return Refuse();
  return AttributeTarget{-1, place.name};
}

// truncate(2), unlike ftruncate(2), moves the time only with the size.
Done Truncate(int file, const Attributes& change) {
  struct stat before {};
  if (::fstat(file, &before) != 0 || ::ftruncate(file, change.size) != 0) return Refuse();
  if ((change.valid & Attributes::kOfOpenFile) != 0 || before.st_size != change.size) return {};
  const timespec times[2] = {{0, UTIME_OMIT}, before.st_mtim};
  return DoneOrErrno(::futimens(file, times));
}

}  // namespace

Done Tree::ApplyAttributes(Node& node, const Attributes& change, int file) {
  const auto place = locator_.Locate(node);
  if (!place) return place.error();
  const int at = place->directory;
  if ((change.valid & (Attributes::kUid | Attributes::kGid)) != 0) {
    const uid_t uid = (change.valid & Attributes::kUid) != 0 ? change.uid : static_cast<uid_t>(-1);
    const gid_t gid = (change.valid & Attributes::kGid) != 0 ? change.gid : static_cast<gid_t>(-1);
    BAILEY_TRY(DoneOrErrno(::fchownat(at, place->name, uid, gid, place->flags)));
  }
  if ((change.valid & Attributes::kMode) != 0)
    BAILEY_TRY(ChangeMode(at, place->name, change.mode & 07777, place->flags));
  if ((change.valid & Attributes::kSize) != 0) {
    UniqueFd own;
    if (file < 0) {
      auto opened = locator_.Open(node, O_WRONLY);
      if (!opened) return opened.error();
      own = std::move(*opened);
    }
    BAILEY_TRY(Truncate(own ? own.get() : file, change));
    node.written = true;
  }
  if ((change.valid & Attributes::kTimes) != 0)
    BAILEY_TRY(DoneOrErrno(::utimensat(at, place->name, change.times, place->flags)));
  return {};
}

Answer<struct stat> Tree::SetAttributes(Node& node, const Attributes& change, int file) {
  const bool emptied = (change.valid & Attributes::kSize) != 0 && change.size == 0;
  const bool sized = (change.valid & Attributes::kSize) != 0;
  const auto lock = copy_up_.LockToChange(node, emptied ? CopyUp::Data::kDropped
                                                : sized ? CopyUp::Data::kWanted
                                                        : CopyUp::Data::kUntouched);
  if (!lock) return lock.error();
  Node& current = node.Current();
  BAILEY_TRY(ApplyAttributes(current, change, file));
  const auto st = locator_.Stat(current);
  if (!st) return st.error();
  return Shown(current, *st);
}

Answer<std::string> Tree::GetAttribute(Node& node, const std::string& name) {
  if (!IsTenants(name)) return Refuse(name.starts_with("trusted.") ? ENODATA : EOPNOTSUPP);
  const std::shared_lock lock(tree_lock_);
  Node& current = node.Current();
  if (current.settled != nullptr && name == kCapability) {
    const std::string& capability = current.settled->capability;
    return capability.empty() ? Answer<std::string>(Refuse(ENODATA)) : capability;
  }
  const bool is_capability = name == kCapability;
  uint32_t known = current.lacks_capability;
  if (is_capability && (known & kLacksCapability) != 0) return Refuse(ENODATA);
  const auto place = locator_.Locate(current);
  if (!place) return place.error();
  const auto target = Aim(*place);
  if (!target) return target.error();
  // Most files have none: asked with little room first.
  std::string value(256, '\0');
  for (;;) {
    const ssize_t size = target->name != nullptr
                             ? ::lgetxattr(target->name, name.c_str(), value.data(), value.size())
                             : ::fgetxattr(target->file, name.c_str(), value.data(), value.size());
    if (size >= 0) {
      value.resize(static_cast<size_t>(size));
      return value;
    }
    const Refusal refusal = Refuse();
    // What a lower has may be the living host's, who may change it.
    if (is_capability && refusal.number == ENODATA && current.in_upper)
      current.lacks_capability.compare_exchange_strong(known, known | kLacksCapability);
    if (refusal.number != ERANGE || value.size() >= kMaxValue) return refusal;
    value.resize(kMaxValue);
  }
}

Done Tree::SetAttribute(Node& node, const std::string& name, std::string_view value, int flags,
                        bool keep_setgid) {
  if (!IsTenants(name)) return Deny(name.starts_with("trusted.") ? EPERM : EOPNOTSUPP);
  const auto lock = copy_up_.LockToChange(node, CopyUp::Data::kUntouched);
  if (!lock) return lock.error();
  const auto place = locator_.Locate(node.Current());
  if (!place) return place.error();
  const auto target = Aim(*place);
  if (!target) return target.error();
  const auto set = [&] {
    const Done done = DoneOrErrno(
        target->name != nullptr
            ? ::lsetxattr(target->name, name.c_str(), value.data(), value.size(), flags)
            : ::fsetxattr(target->file, name.c_str(), value.data(), value.size(), flags));
    if (name == kCapability) CapabilityWasSet(node.Current());
    return done;
  };
  if (name != "system.posix_acl_access") return set();
  if (keep_setgid) {
    const SetgidCapability capability;
    return set();
  }
  BAILEY_TRY(set());
  const auto st = locator_.Stat(node.Current());  // the server may be in the group itself
  if (!st || (st->st_mode & S_ISGID) == 0) return {};
  return ChangeMode(place->directory, place->name, st->st_mode & 07777 & ~S_ISGID, place->flags);
}

Answer<std::string> Tree::ListAttributes(Node& node) {
  const std::shared_lock lock(tree_lock_);
  Node& current = node.Current();
  const auto place = locator_.Locate(current);
  if (!place) return place.error();
  const auto target = Aim(*place);
  if (!target) return target.error();
  std::string all(kMaxValue, '\0');
  const ssize_t size = target->name != nullptr ? ::llistxattr(target->name, all.data(), all.size())
                                               : ::flistxattr(target->file, all.data(), all.size());
  if (size < 0) return Refuse();
  std::string names;
  for (size_t at = 0; at < static_cast<size_t>(size);) {
    const std::string_view name = all.c_str() + at;
    at += name.size() + 1;
    if (!IsTenants(name) || (current.settled != nullptr && name == kCapability)) continue;
    names.append(name).push_back('\0');
  }
  if (current.settled != nullptr && !current.settled->capability.empty())
    names.append(kCapability).push_back('\0');
  return names;
}

Done Tree::RemoveAttribute(Node& node, const std::string& name) {
  if (!IsTenants(name)) return Deny(name.starts_with("trusted.") ? EPERM : EOPNOTSUPP);
  // No copy-up for what is not there. Taking away an ACL that is not there is no error.
  if (const auto value = GetAttribute(node, name); !value) {
    const bool is_acl = name.starts_with("system.posix_acl_");
    return is_acl && value.error().number == ENODATA ? Done() : Done(value.error());
  }
  const auto lock = copy_up_.LockToChange(node, CopyUp::Data::kUntouched);
  if (!lock) return lock.error();
  const auto place = locator_.Locate(node.Current());
  if (!place) return place.error();
  const auto target = Aim(*place);
  if (!target) return target.error();
  // Whether the caller might keep setgid, FUSE does not tell here; without an ACL it gives no more.
  std::optional<SetgidCapability> capability;
  if (name == "system.posix_acl_access") capability.emplace();
  return DoneOrErrno(target->name != nullptr ? ::lremovexattr(target->name, name.c_str())
                                             : ::fremovexattr(target->file, name.c_str()));
}

}  // namespace bailey::fs
