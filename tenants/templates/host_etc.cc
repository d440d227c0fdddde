#include "tenants/templates/host_etc.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <sstream>
#include <vector>

#include "base/files.h"
#include "tenants/templates/tree_walk.h"

namespace bailey::tenants {
namespace {

constexpr size_t kLargestFile = 16 << 20;  // ld.so.cache and certificate bundles are far smaller

struct OwnText {
  const char* path;
  std::string_view text;
};

// Files that people edit, and into which they put things that are nobody else's business: ours.
constexpr auto kOwnTexts = std::to_array<OwnText>({
    {"etc/nsswitch.conf",
     "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n"
     "protocols: files\nservices: files\nrpc: files\n"},
    {"etc/profile",
     "if [ \"$(id -u)\" -eq 0 ]; then\n"
     "  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
     "else\n  PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games\nfi\n"
     "export PATH\n[ -n \"$BASH\" ] && [ -r /etc/bash.bashrc ] && . /etc/bash.bashrc\n"},
    {"etc/bash.bashrc",
     "[ -z \"$PS1\" ] && return\nshopt -s checkwinsize\nPS1='\\u@\\h:\\w\\$ '\n"},
    {"etc/pam.d/common-auth", "auth required pam_unix.so\n"},
    {"etc/pam.d/common-account", "account required pam_unix.so\n"},
    {"etc/pam.d/common-password", "password required pam_unix.so yescrypt\n"},
    {"etc/pam.d/common-session", "session required pam_unix.so\n"},
    {"etc/pam.d/common-session-noninteractive", "session required pam_unix.so\n"},
    {"etc/pam.d/other",
     "@include common-auth\n@include common-account\n@include common-password\n"
     "@include common-session\n"},
    {"etc/pam.d/su",
     "auth sufficient pam_rootok.so\n@include common-auth\n@include common-account\n"
     "@include common-session\n"},
    {"etc/pam.d/passwd", "@include common-password\n"},
    {"etc/pam.d/chsh",
     "auth sufficient pam_rootok.so\n@include common-auth\n@include common-account\n"
     "@include common-session\n"},
});

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (size_t start = 0; start <= text.size();) {
    const size_t end = std::min(text.find(separator, start), text.size());
    parts.emplace_back(text.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

bool IsSystemId(const std::string& text) {
  unsigned id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  return error == std::errc() && end == text.data() + text.size() && (id < 1000 || id == 65534);
}

// Everybody on the host may read it, and nobody but root could have written it.
bool IsPublic(const struct stat& info) {
  return info.st_uid == 0 && (info.st_mode & 0004) != 0 && (info.st_mode & 0002) == 0;
}

std::string ReadHostFile(const std::string& path) {
  auto text = ReadFile(path, kLargestFile);
  return text ? *text : std::string();
}

class EtcCopier {
 public:
  EtcCopier(int etc, const RootWriter& root) : etc_(etc), root_(root) {}

  Status Copy(const std::string& path) {
    auto found = OpenBeneathNoSymlinks(etc_, path, O_PATH | O_NOFOLLOW);
    struct stat info {};
    if (!found || ::fstat(found->get(), &info) != 0) return {};  // this host does not have it
    if (S_ISDIR(info.st_mode)) return CopyDirectory(path, info);
    return CopyEntry(etc_, path, path, info);
  }

 private:
  Status CopyDirectory(const std::string& path, const struct stat& info) {
    if ((info.st_mode & 0005) != 0005) return {};
    auto directory = OpenBeneathNoSymlinks(etc_, path, O_RDONLY | O_DIRECTORY);
    if (!directory) return directory.error();
    BAILEY_TRY(root_.Directory("etc/" + path, 0755));
    return WalkTree(directory->get(), [&](const TreeEntry& entry) -> Result<Walk> {
      const std::string below = path + "/" + entry.path;
      if (S_ISDIR(entry.info.st_mode)) {
        if ((entry.info.st_mode & 0005) != 0005 || entry.other_mount) return Walk::kSkip;
        BAILEY_TRY(root_.Directory("etc/" + below, 0755));
        return Walk::kEnter;
      }
      BAILEY_TRY(CopyEntry(entry.parent, entry.name, below, entry.info));
      return Walk::kSkip;
    });
  }

  Status CopyEntry(int parent, const std::string& name, const std::string& path,
                   const struct stat& info) {
    if (S_ISLNK(info.st_mode)) return CopyLink(parent, name, path);
    if (!S_ISREG(info.st_mode) || !IsPublic(info)) return {};
    const UniqueFd file(
        ::openat(parent, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat now {};
    // What was judged must be what is read.
    if (!file || ::fstat(file.get(), &now) != 0 || now.st_ino != info.st_ino || !IsPublic(now))
      return {};
    auto text = ReadAll(file.get(), kLargestFile);
    if (!text || LooksSecret(path, *text)) return {};
    return root_.File("etc/" + path, *text, (info.st_mode & 0111) != 0 ? 0755 : 0644);
  }

  // A link is its text: where it leads is looked up inside, in what the tenant has.
  Status CopyLink(int parent, const std::string& name, const std::string& path) {
    std::array<char, 4096> target{};
    const ssize_t length = ::readlinkat(parent, name.c_str(), target.data(), target.size() - 1);
    if (length <= 0 || LooksSecret(path, {})) return {};
    return root_.Symlink(std::string(target.data(), static_cast<size_t>(length)), "etc/" + path);
  }

  int etc_;
  const RootWriter& root_;
};

std::string ShadowFor(const std::string& passwd) {
  std::string text;
  for (const std::string& line : Split(passwd, '\n'))
    if (!line.empty()) text += line.substr(0, line.find(':')) + ":*:19000:0:99999:7:::\n";
  return text;
}

}  // namespace

bool LooksSecret(std::string_view name, std::string_view text) {
  const std::string_view base = name.substr(name.rfind('/') + 1);
  if (base.ends_with(".key") || base.starts_with("ssh_host_") || base.starts_with("id_") ||
      base.find("secret") != std::string_view::npos ||
      base.find("password") != std::string_view::npos ||
      base.find("credential") != std::string_view::npos || base == ".netrc" || base == ".pgpass")
    return true;
  return text.find("PRIVATE KEY-----") != std::string_view::npos;
}

std::string SystemUsersOnly(std::string_view passwd) {
  std::string text;
  for (const std::string& line : Split(passwd, '\n')) {
    const std::vector<std::string> fields = Split(line, ':');
    if (fields.size() != 7 || !IsSystemId(fields[2]) || !IsSystemId(fields[3])) continue;
    text +=
        fields[0] + ":x:" + fields[2] + ":" + fields[3] + "::" + fields[5] + ":" + fields[6] + "\n";
  }
  return text;
}

std::string SystemGroupsOnly(std::string_view group, std::string_view passwd) {
  std::set<std::string> users;
  for (const std::string& line : Split(SystemUsersOnly(passwd), '\n'))
    users.insert(line.substr(0, line.find(':')));
  std::string text;
  for (const std::string& line : Split(group, '\n')) {
    const std::vector<std::string> fields = Split(line, ':');
    if (fields.size() != 4 || !IsSystemId(fields[2])) continue;
    std::string members;
    for (const std::string& member : Split(fields[3], ','))
      if (!member.empty() && users.contains(member))
        members += (members.empty() ? "" : ",") + member;
    text += fields[0] + ":x:" + fields[2] + ":" + members + "\n";
  }
  return text;
}

std::string LocaleOnly(std::string_view text) {
  std::string kept;
  for (const std::string& line : Split(text, '\n')) {
    const bool locale = line.starts_with("LANG=") || line.starts_with("LANGUAGE=") ||
                        (line.starts_with("LC_") && line.find('=') != std::string::npos);
    const bool plain = line.find_first_of("$`\\;&|<>()") == std::string::npos;
    if (locale && plain) kept += line + "\n";
  }
  return kept;
}

Status WriteHostEtc(const std::string& host, const RootWriter& root) {
  auto etc = OpenPath(host + "/etc", O_RDONLY | O_DIRECTORY);
  if (!etc) return etc.error();
  EtcCopier copier(etc->get(), root);
  for (const HostEtcEntry& entry : kHostEtc) BAILEY_TRY(copier.Copy(std::string(entry.path)));
  for (const OwnText& own : kOwnTexts) BAILEY_TRY(root.File(own.path, own.text, 0644));
  const std::string host_passwd = ReadHostFile(host + "/etc/passwd");
  const std::string passwd = SystemUsersOnly(host_passwd);
  BAILEY_TRY(root.File("etc/passwd", passwd, 0644));
  BAILEY_TRY(root.File("etc/group",
                       SystemGroupsOnly(ReadHostFile(host + "/etc/group"), host_passwd), 0644));
  BAILEY_TRY(root.File("etc/shadow", ShadowFor(passwd), 0600));
  BAILEY_TRY(root.File("etc/default/locale", LocaleOnly(ReadHostFile(host + "/etc/default/locale")),
                       0644));
  return root.File("etc/rc", kEmptyRc, 0755);
}

}  // namespace bailey::tenants
