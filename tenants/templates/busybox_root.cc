#include <elf.h>
#include <fcntl.h>

#include <array>
#include <cstring>

#include "base/files.h"
#include "tenants/templates/foreign_program.h"
#include "tenants/templates/root_builders.h"
#include "tenants/templates/root_writer.h"

namespace bailey::tenants {
namespace {

constexpr const char* kInstall = "apt-get install busybox-static";

// True when no program header asks for an interpreter: a dynamic busybox would find no libraries.
Result<bool> IsStatic(int fd) {
  Elf64_Ehdr header{};
  if (::pread(fd, &header, sizeof header, 0) != sizeof header ||
      std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
    return Invalid("/bin/busybox is no program");
  for (int i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment{};
    const auto at = static_cast<off_t>(header.e_phoff) + i * off_t{header.e_phentsize};
    if (::pread(fd, &segment, sizeof segment, at) != sizeof segment) return Errno("read busybox");
    if (segment.p_type == PT_INTERP) return false;
  }
  return true;
}

// The paths that busybox would install itself as ("usr/bin/awk"), as it says itself.
Result<std::vector<std::string>> Applets(const std::string& busybox) {
  std::vector<std::string> applets;
  ForeignProgram program;
  program.argv = {busybox, "--list-full"};
  program.on_line = [&](std::string_view line) { applets.emplace_back(line); };
  BAILEY_TRY(RunForeign(program));
  return applets;
}

struct TextFile {
  const char* path;
  std::string_view text;
  mode_t mode;
};

constexpr auto kEtc = std::to_array<TextFile>({
    {"etc/passwd",
     "root:x:0:0:root:/root:/bin/sh\n"
     "daemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
     "www-data:x:33:33:www-data:/srv/www:/bin/false\n"
     "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
     0644},
    {"etc/shadow",
     "root:*:19000::::::\ndaemon:*:19000::::::\nwww-data:*:19000::::::\nnobody:*:19000::::::\n",
     0600},
    {"etc/group",
     "root:x:0:\ndaemon:x:1:\ntty:x:5:\nwww-data:x:33:\nusers:x:100:\nnogroup:x:65534:\n", 0644},
    {"etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n", 0644},
    {"etc/profile",
     "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
     "export PS1='\\u@\\h:\\w\\$ '\numask 022\n",
     0644},
    {"etc/services",
     "ftp 21/tcp\nssh 22/tcp\nsmtp 25/tcp\ndomain 53/tcp\ndomain 53/udp\nhttp 80/tcp\n"
     "pop3 110/tcp\nntp 123/udp\nimap2 143/tcp\nhttps 443/tcp\nimaps 993/tcp\n",
     0644},
    {"etc/shells", "/bin/sh\n/bin/ash\n", 0644},
});

}  // namespace

Status BuildBusyboxRoot(const RootBuild& build, Template* made) {
  const std::string path = build.host + "/bin/busybox";
  auto busybox = OpenPath(path, O_RDONLY);
  if (!busybox) return busybox.error().WithHint(kInstall);
  auto is_static = IsStatic(busybox->get());
  if (!is_static) return is_static.error();
  if (!*is_static) return Invalid("/bin/busybox is not statically linked", kInstall);
  build.progress("copying busybox", 10);
  const RootWriter root(build.root);
  BAILEY_TRY(WriteSkeleton(root));
  BAILEY_TRY(root.Directory("srv/www", 0755));
  for (const char* directory : {"bin", "sbin", "usr/bin", "usr/sbin"})
    BAILEY_TRY(root.Directory(directory, 0755));
  BAILEY_TRY(root.CopyFrom(busybox->get(), "bin/busybox", 0755));
  build.progress("linking its applets", 40);
  auto applets = Applets(path);
  if (!applets) return applets.error();
  for (const std::string& applet : *applets)
    if (applet != "bin/busybox" && applet != "linuxrc" && applet.find("..") == std::string::npos)
      BAILEY_TRY(root.Symlink("/bin/busybox", applet));
  build.progress("writing etc", 90);
  for (const TextFile& file : kEtc) BAILEY_TRY(root.File(file.path, file.text, file.mode));
  BAILEY_TRY(root.File("etc/rc", kEmptyRc, 0755));
  made->source = "busybox-static of this host, " + std::to_string(applets->size()) + " applets";
  return {};
}

}  // namespace bailey::tenants
