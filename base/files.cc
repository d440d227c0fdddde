#include "base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>

#include "base/syscalls.h"

namespace bailey {
namespace {

Result<UniqueFd> Open2(int root, const std::string& path, int flags, mode_t mode,
                       uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<uint64_t>(static_cast<unsigned>(flags | O_CLOEXEC));
  how.mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
  how.resolve = resolve;
  // EAGAIN: a rename raced with the walk, and the kernel could not prove that we stayed beneath.
  for (int attempt = 0;; ++attempt) {
    UniqueFd fd(sys::Openat2(root, path.c_str(), how));
    if (fd) return fd;
    if (errno != EINTR && (errno != EAGAIN || attempt == 100)) return Errno("openat2 " + path);
  }
}

Status WriteOnce(int fd, const std::string& name, std::string_view text) {
  const ssize_t written = ::write(fd, text.data(), text.size());
  if (written < 0) return Errno("write " + name);
  if (static_cast<size_t>(written) != text.size()) return Errno("write " + name, EIO);
  return {};
}

}  // namespace

Result<UniqueFd> OpenBeneath(int root, const std::string& path, int flags, mode_t mode) {
  return Open2(root, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

Result<UniqueFd> OpenBeneathNoSymlinks(int root, const std::string& path, int flags, mode_t mode) {
  return Open2(root, path, flags, mode,
               RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS);
}

Result<UniqueFd> OpenPath(const std::string& path, int flags, mode_t mode) {
  UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd) return Errno("open " + path);
  return fd;
}

Result<std::string> ReadAll(int fd, size_t limit) {
  std::string text;
  std::array<char, 16384> buffer;
  for (;;) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got == 0) return text;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Errno("read");
    text.append(buffer.data(), static_cast<size_t>(got));
    if (text.size() > limit) return Errno("read", EFBIG);
  }
}

Result<std::string> ReadFile(const std::string& path, size_t limit) {
  auto fd = OpenPath(path, O_RDONLY);
  if (!fd) return fd.error();
  auto text = ReadAll(fd->get(), limit);
  if (!text) return text.error().Within(path);
  return text;
}

Status WriteControl(const std::string& path, std::string_view text) {
  auto fd = OpenPath(path, O_WRONLY);
  if (!fd) return fd.error();
  return WriteOnce(fd->get(), path, text);
}

Status WriteControlAt(int dir, const std::string& name, std::string_view text) {
  const UniqueFd fd(::openat(dir, name.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return Errno("open " + name);
  return WriteOnce(fd.get(), name, text);
}

Status WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Errno("write");
    text.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

Result<UniqueFd> SealedText(const char* name, std::string_view text, unsigned flags) {
  constexpr int kSeals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  // The kernel refuses the seal with EBUSY while anybody holds a page, be it the kernel itself that
  // moves or reclaims it (mm/memfd.c, memfd_wait_for_pins); other pages are free of that.
  for (int tries = 5;; --tries) {
    UniqueFd file(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | flags));
    if (!file) return Errno("memfd_create");
    BAILEY_TRY(WriteAll(file.get(), text));
    if (::lseek(file.get(), 0, SEEK_SET) != 0) return Errno("lseek");
    if (::fcntl(file.get(), F_ADD_SEALS, kSeals) == 0) return file;
    if (errno != EBUSY || tries == 1) return Errno(std::string("seal ") + name);
  }
}

Status ReplaceFile(const std::string& path, std::string_view text, mode_t mode) {
  std::string temporary = path + ".XXXXXX";
  const UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) return Errno("create " + temporary);
  Status done = [&]() -> Status {
    BAILEY_TRY(WriteAll(fd.get(), text));
    if (::fchmod(fd.get(), mode) != 0) return Errno("fchmod");
    if (::fsync(fd.get()) != 0) return Errno("fsync");
    if (::rename(temporary.c_str(), path.c_str()) != 0) return Errno("rename");
    return {};
  }();
  if (done) return {};
  ::unlink(temporary.c_str());
  return done.error().Within("replace " + path);
}

Status MakeDirectories(const std::string& path, mode_t mode) {
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string prefix = path.substr(0, end);
    if (::mkdir(prefix.c_str(), mode) != 0 && errno != EEXIST) return Errno("mkdir " + prefix);
    if (end == std::string::npos) return {};
  }
}

}  // namespace bailey
