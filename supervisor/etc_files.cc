#include "supervisor/etc_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <string_view>

#include "base/files.h"

namespace bailey::supervisor {
namespace {

constexpr std::string_view kOurs =
    "# Written by Bailey at every start. Replace this file to have one of your own.\n";
constexpr size_t kLongest = 64 << 10;

// /etc below `root`: empty if there is none that we may use.
Result<UniqueFd> OpenEtc(int root) {
  auto etc = OpenBeneathNoSymlinks(root, "etc", O_PATH | O_DIRECTORY);
  if (etc) return etc;
  const int error = etc.error().Errno();
  if (error == ENOENT || error == ELOOP || error == ENOTDIR) return UniqueFd();
  return etc;
}

enum class Holder { kNobody, kUs, kTenant };

// Whose `name` in `etc` is. `text`: what is in it, if it is ours.
Result<Holder> HolderOf(int etc, const char* name, std::string& text) {
  struct stat found {};
  if (::fstatat(etc, name, &found, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return Holder::kNobody;
    return Errno(std::string("look at /etc/") + name);
  }
  if (S_ISCHR(found.st_mode) && found.st_rdev == 0) return Holder::kNobody;  // a whiteout
  if (!S_ISREG(found.st_mode)) return Holder::kTenant;
  // NONBLOCK: it may have become a fifo since. It may be anything, but not hold us up.
  const auto file = OpenBeneathNoSymlinks(etc, name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) return Holder::kTenant;
  auto content = ReadAll(file->get(), kLongest);
  if (!content) return Holder::kTenant;
  text = std::move(*content);
  return text.empty() || text.starts_with(kOurs) ? Holder::kUs : Holder::kTenant;
}

Status Replace(int etc, const std::string& name, std::string_view text) {
  const std::string fresh = "." + name + ".bailey";
  if (::unlinkat(etc, fresh.c_str(), 0) != 0 && errno != ENOENT) return Errno("unlink " + fresh);
  const UniqueFd file(
      ::openat(etc, fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!file) return Errno("create /etc/" + fresh);
  if (::fchmod(file.get(), 0644) != 0) return Errno("chmod /etc/" + fresh);
  BAILEY_TRY(WriteAll(file.get(), text));
  if (::renameat(etc, fresh.c_str(), etc, name.c_str()) != 0) return Errno("rename /etc/" + fresh);
  return {};
}

// Writes `name` into `etc` unless the copy in `judged` (an /etc as well) is the tenant's.
Status Write(int etc, int judged, const std::string& name, const std::string& text) {
  std::string held;
  if (judged >= 0) {
    const auto holder = HolderOf(judged, name.c_str(), held);
    if (!holder) return holder.error();
    if (*holder == Holder::kTenant) return {};
  }
  const std::string wanted = std::string(kOurs) + text;
  return held == wanted ? Status() : Replace(etc, name, wanted);
}

std::string HostsText(const TenantConfig& config) {
  std::string text = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n";
  text += config.ip.ToString() + " " + config.hostname;
  if (const size_t dot = config.hostname.find('.'); dot != std::string::npos)
    text += " " + config.hostname.substr(0, dot);
  return text + "\n";
}

}  // namespace

Status WriteEtcFiles(int plain_root, int upper, const TenantConfig& config) {
  if (::mkdirat(plain_root, "etc", 0755) != 0 && errno != EEXIST) return Errno("mkdir /etc");
  const auto etc = OpenEtc(plain_root);
  if (!etc) return etc.error();
  if (!*etc) return {};
  BAILEY_TRY(Write(etc->get(), etc->get(), "hosts", HostsText(config)));
  if (config.resolv_conf.empty()) return {};
  const auto own = OpenEtc(upper);
  if (!own) return own.error();
  return Write(etc->get(), own->get(), "resolv.conf", config.resolv_conf);
}

}  // namespace bailey::supervisor
