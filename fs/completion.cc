#include "fs/completion.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/xattr.h>

#include <chrono>
#include <cstring>
#include <optional>

#include "fs/file_copy.h"
#include "fs/layer_set.h"
#include "fs/thread_place.h"

namespace bailey::fs {
namespace {

// The value of kCompletionMark on disk, followed by the file's capabilities.
struct OnDisk {
  uint64_t session;
  uint32_t mode, zero;
  int64_t atime, atime_ns, mtime, mtime_ns;
};
static_assert(sizeof(OnDisk) == 48);

}  // namespace

struct Completion::Saved {
  OnDisk fields{};
  std::string capability;

  static Saved Of(const Settled& settled, uint64_t session) {
    const struct stat& st = settled.st;
    return {{session, st.st_mode & 07777, 0, st.st_atim.tv_sec, st.st_atim.tv_nsec,
             st.st_mtim.tv_sec, st.st_mtim.tv_nsec},
            settled.capability};
  }
  static std::optional<Saved> Parse(const std::string& text) {
    Saved saved;
    if (text.size() < sizeof saved.fields) return std::nullopt;
    std::memcpy(&saved.fields, text.data(), sizeof saved.fields);
    saved.capability = text.substr(sizeof saved.fields);
    return saved;
  }
  std::string Text() const {
    std::string text(sizeof fields, '\0');
    std::memcpy(text.data(), &fields, sizeof fields);
    return text + capability;
  }
  // `name` "" is the file `directory` itself.
  Done Restore(int directory, const char* name) const {
    const int flags = AT_SYMLINK_NOFOLLOW | (*name == '\0' ? AT_EMPTY_PATH : 0);
    if (!capability.empty()) {
      const auto& value = capability;
      if (*name == '\0')
        BAILEY_TRY(DoneOrErrno(::fsetxattr(directory, kCapability, value.data(), value.size(), 0)));
      else
        BAILEY_TRY(DoneOrErrno(::lsetxattr(name, kCapability, value.data(), value.size(), 0)));
    }
    BAILEY_TRY(ChangeMode(directory, name, fields.mode, flags));
    const timespec times[2] = {{fields.atime, fields.atime_ns}, {fields.mtime, fields.mtime_ns}};
    return DoneOrErrno(::utimensat(directory, name, times, flags));
  }
};

Completion::Completion()
    : session_(static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count())) {
}

Answer<Settled> Completion::AttributesOf(int file) {
  Settled settled;
  if (::fstat(file, &settled.st) != 0) return Refuse();
  settled.capability = AttributeOf(file, kCapability);
  return settled;
}

Answer<uint64_t> Completion::Copy(int from, int file, const Settled& settled) {
  const Saved saved = Saved::Of(settled, session_);
  const off_t size = settled.st.st_size;
  const std::string mark = saved.Text();
  BAILEY_TRY(DoneOrErrno(::fsetxattr(file, kCompletionMark, mark.data(), mark.size(), 0)));
  const auto copied = CopyData(from, file, size);
  // Else a power cut could leave a file that counts as complete and is not.
  Done done = copied ? DoneOrErrno(::fdatasync(file)) : Done(copied.error());
  if (!done) (void)::fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, size);
  const Done restored = saved.Restore(file, "");
  if (done) done = restored;
  if (!done) {
    if (restored) (void)::fremovexattr(file, kCompletionMark);
    return done.error();
  }
  return copied;
}

Done Completion::Finish(int file) {
  if (::fremovexattr(file, kMetacopyMark) != 0 && errno != ENODATA) return Refuse();
  (void)::fremovexattr(file, kRedirectMark);
  (void)::fremovexattr(file, kCompletionMark);
  return {};
}

Done Completion::Mend(int directory, const std::string& name, const std::string& mark) {
  const auto saved = Saved::Parse(mark);
  if (saved && saved->fields.session == session_) return {};
  const std::lock_guard lock(mutex_);
  if (!ThreadPlace::Enter(directory)) return Refuse();
  if (::lgetxattr(name.c_str(), kCompletionMark, nullptr, 0) < 0) return {};
  if (saved) BAILEY_TRY(saved->Restore(directory, name.c_str()));
  return DoneOrErrno(::lremovexattr(name.c_str(), kCompletionMark));
}

}  // namespace bailey::fs
