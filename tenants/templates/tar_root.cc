#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "tenants/templates/confinement.h"
#include "tenants/templates/foreign_program.h"
#include "tenants/templates/root_builders.h"
#include "tenants/templates/root_writer.h"
#include "tenants/templates/tree_walk.h"

namespace bailey::tenants {
namespace {

constexpr const char* kTar = "/usr/bin/tar";
constexpr uid_t kHighestId = 65534;  // a tenant has the ids 0–65534; this one is "nobody"

// What restoring owners, modes and file capabilities takes. No MKNOD: devices are not for archives
// to bring; no SYS_ADMIN: nor are trusted.* attributes, which say "whiteout" to an overlay.
constexpr CapabilityMask kKept = CapabilityBit(CAP_CHOWN) | CapabilityBit(CAP_DAC_OVERRIDE) |
                                 CapabilityBit(CAP_FOWNER) | CapabilityBit(CAP_FSETID) |
                                 CapabilityBit(CAP_SETFCAP);

struct Compression {
  std::string_view magic;
  const char* option;
  const char* program;
};
constexpr auto kCompressions = std::to_array<Compression>({
    {{"\x1f\x8b", 2}, "--gzip", "/usr/bin/gzip"},
    {{"\xfd"
      "7zXZ",
      5},
     "--xz",
     "/usr/bin/xz"},
    {{"\x28\xb5\x2f\xfd", 4}, "--zstd", "/usr/bin/zstd"},
    {{"BZh", 3}, "--bzip2", "/usr/bin/bzip2"},
});

// The option of tar that decompresses `file`, or none.
Result<std::vector<std::string>> DecompressOption(int file) {
  std::array<char, 8> start{};
  const ssize_t got = ::pread(file, start.data(), start.size(), 0);
  if (got < 0) return Errno("read the archive");
  const std::string_view bytes(start.data(), static_cast<size_t>(got));
  for (const Compression& compression : kCompressions) {
    if (!bytes.starts_with(compression.magic)) continue;
    if (::access(compression.program, X_OK) != 0)
      return Errno(compression.program).WithHint("install the program, or decompress the archive");
    return std::vector<std::string>{compression.option};
  }
  return std::vector<std::string>{};
}

// Judges what tar said. Its messages name members in an escaped form, one message a line.
class TarMessages {
 public:
  void Line(std::string_view line) {
    if (line.ends_with("Cannot mknod: Operation not permitted")) {
      ++devices_;
    } else if (line.find(": Removing leading `") == std::string_view::npos &&
               line.find(": time stamp ") == std::string_view::npos &&
               line.find(": implausibly old time stamp ") == std::string_view::npos &&
               !line.ends_with("Exiting with failure status due to previous errors")) {
      if (trouble_.empty()) trouble_ = line;
    }
  }
  size_t devices() const { return devices_; }
  // The first message that is neither a warning nor about a device.
  const std::string& trouble() const { return trouble_; }

 private:
  size_t devices_ = 0;
  std::string trouble_;
};

int PercentRead(int file, off_t size) {
  const off_t at = ::lseek(file, 0, SEEK_CUR);  // tar's stdin is this very open file
  return size > 0 && at >= 0 ? static_cast<int>(at * 95 / size) : -1;
}

// Runs tar; returns how many devices it could not make.
Result<size_t> Unpack(const RootBuild& build, int file, off_t size) {
  auto option = DecompressOption(file);
  if (!option) return option.error();
  ForeignProgram program;
  program.argv = {kTar,
                  "--extract",
                  "--file=-",
                  "--directory=/root",
                  "--numeric-owner",
                  "--preserve-permissions",
                  "--same-owner",
                  "--delay-directory-restore",
                  "--acls",
                  "--xattrs",
                  "--xattrs-include=user.*",
                  "--xattrs-include=security.capability",
                  "--no-selinux",
                  "--checkpoint=500",
                  "--checkpoint-action=echo"};
  program.argv.insert(program.argv.end(), option->begin(), option->end());
  program.input = file;
  program.keep = kKept;
  program.accepted = {0, 2};
  bool failed = true;
  TarMessages messages;
  program.on_line = [&](std::string_view line) {
    if (line.find("checkpoint ") != std::string_view::npos && line.starts_with("tar: ")) {
      build.progress("unpacking", PercentRead(file, size));
    } else {
      messages.Line(line);
    }
  };
  const Status done = RunForeign(program);
  if (!done) return done.error();
  failed = !messages.trouble().empty();
  if (failed) return Error{{}, "the archive was refused: " + messages.trouble(), {}};
  return messages.devices();
}

// Devices (0/0 needs no capability and would be a whiteout) go; owners that no tenant has become
// nobody.
Result<size_t> Sanitise(int root) {
  size_t devices = 0;
  const Status walked = WalkTree(root, [&](const TreeEntry& entry) -> Result<Walk> {
    if (S_ISCHR(entry.info.st_mode) || S_ISBLK(entry.info.st_mode)) {
      if (::unlinkat(entry.parent, entry.name.c_str(), 0) != 0)
        return Errno("unlink " + entry.path);
      ++devices;
      return Walk::kSkip;
    }
    const uid_t uid = std::min(entry.info.st_uid, kHighestId);
    const gid_t gid = std::min<gid_t>(entry.info.st_gid, kHighestId);
    if ((uid != entry.info.st_uid || gid != entry.info.st_gid) &&
        ::fchownat(entry.parent, entry.name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0)
      return Errno("chown " + entry.path);
    return Walk::kEnter;
  });
  if (!walked) return walked.error();
  return devices;
}

}  // namespace

Status BuildTarRoot(const RootBuild& build, Template* made) {
  // NONBLOCK: opening a fifo must not wait for a writer.
  const UniqueFd file(
      ::open(build.request.path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) != 0) return Errno("open " + build.request.path);
  if (!S_ISREG(info.st_mode)) return Invalid(build.request.path + " is not a regular file");
  build.progress("unpacking", 0);
  BAILEY_TRY(EnterUnpackingRoot(build.root, build.root_path));
  auto refused = Unpack(build, file.get(), info.st_size);
  if (!refused) return refused.error();
  build.progress("checking what was unpacked", 95);
  auto removed = Sanitise(build.root);
  if (!removed) return removed.error();
  if (*refused + *removed > 0)
    build.progress(std::to_string(*refused + *removed) + " device nodes were left out", 98);
  const RootWriter root(build.root);
  BAILEY_TRY(root.Remove("dev"));
  for (const char* path : {"dev", "run"}) BAILEY_TRY(root.Directory(path, 0755));
  for (const char* path : {"proc", "sys"}) BAILEY_TRY(root.Directory(path, 0555));
  BAILEY_TRY(root.Directory("tmp", 01777));
  if (!root.Has("etc/rc") && root.Has("etc")) BAILEY_TRY(WriteServiceStart(root));
  made->source = build.request.path.substr(build.request.path.rfind('/') + 1);
  return {};
}

}  // namespace bailey::tenants
