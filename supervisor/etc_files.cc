#include "supervisor/etc_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/files.h"

namespace bailey::supervisor {
namespace {

constexpr std::string_view kOurs =
    "# Written by Bailey at every start. Change this file to have one of your own.\n";
constexpr size_t kLongest = 64 << 10;
constexpr size_t kLongestRemembered = 4096;

// /etc below `root`: empty if there is none that we may use.
Result<UniqueFd> OpenEtc(int root) {
  auto etc = OpenBeneathNoSymlinks(root, "etc", O_PATH | O_DIRECTORY);
  if (etc) return etc;
  const int error = etc.error().Errno();
  if (error == ENOENT || error == ELOOP || error == ENOTDIR) return UniqueFd();
  return etc;
}

// What is at a place of /etc.
struct Found {
  enum Kind { kNothing, kWhiteout, kText, kOther } kind = kNothing;
  std::string text;
};

Result<Found> Look(int etc, const std::string& name) {
  struct stat status {};
  if (etc < 0) return Found{};
  if (::fstatat(etc, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return Found{};
    return Errno("look at /etc/" + name);
  }
  if (S_ISCHR(status.st_mode) && status.st_rdev == 0) return Found{Found::kWhiteout, {}};
  if (!S_ISREG(status.st_mode)) return Found{Found::kOther, {}};
  // NONBLOCK: it may have become a fifo since. It may be anything, but not hold us up.
  const auto file = OpenBeneathNoSymlinks(etc, name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) return Found{Found::kOther, {}};
  auto text = ReadAll(file->get(), kLongest);
  if (!text) return Found{Found::kOther, {}};
  return Found{Found::kText, std::move(*text)};
}

std::string AttributeOf(const std::string& name) { return "trusted.bailey.etc." + name; }

// What we wrote last; none if we never did.
Result<std::optional<std::string>> Remembered(int upper, const std::string& name) {
  if (upper < 0) return std::optional<std::string>();
  std::string text(kLongestRemembered, '\0');
  const ssize_t size = ::fgetxattr(upper, AttributeOf(name).c_str(), text.data(), text.size());
  if (size < 0 && (errno == ENODATA || errno == EOPNOTSUPP)) return std::optional<std::string>();
  if (size < 0) return Errno("read what was written to /etc/" + name);
  text.resize(static_cast<size_t>(size));
  return std::optional(std::move(text));
}

Status Replace(int etc, const std::string& name, std::string_view text) {
  const std::string fresh = "." + name + ".bailey";
  if (::unlinkat(etc, fresh.c_str(), 0) != 0 && errno != ENOENT) return Errno("unlink " + fresh);
  const UniqueFd file(
      ::openat(etc, fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!file) return Errno("create /etc/" + fresh);
  Status done = WriteAll(file.get(), text);
  if (done && ::fchmod(file.get(), 0644) != 0) done = Errno("chmod /etc/" + fresh);
  if (done && ::renameat(etc, fresh.c_str(), etc, name.c_str()) != 0)
    done = Errno("rename /etc/" + fresh);
  if (!done) ::unlinkat(etc, fresh.c_str(), 0);
  return done;
}

// Whether the file is still as we left it; `own` is what the upper layer has of it.
bool IsOurs(const Found& seen, const Found& own, const std::optional<std::string>& remembered,
            const std::string& wanted) {
  if (seen.kind == Found::kText && seen.text == wanted) return true;  // perhaps cut short last time
  if (remembered) return seen.kind == Found::kText && seen.text == *remembered;
  if (own.kind == Found::kText) return own.text.empty() || own.text.starts_with(kOurs);
  return own.kind == Found::kNothing;
}

struct Place {
  int etc;        // as the tenant sees it
  int upper;      // root of the upper layer
  int upper_etc;  // -1: it has none
};

Status Write(const Place& place, const std::string& name, const std::string& wanted) {
  const auto seen = Look(place.etc, name), own = Look(place.upper_etc, name);
  const auto remembered = Remembered(place.upper, name);
  if (!seen) return seen.error();
  if (!own) return own.error();
  if (!remembered) return remembered.error();
  if (!IsOurs(*seen, *own, *remembered, wanted)) return {};
  if (seen->kind != Found::kText || seen->text != wanted)
    BAILEY_TRY(Replace(place.etc, name, wanted));
  if (*remembered == wanted || place.upper < 0) return {};
  if (::fsetxattr(place.upper, AttributeOf(name).c_str(), wanted.data(), wanted.size(), 0) != 0 &&
      errno != EOPNOTSUPP)
    return Errno("remember what was written to /etc/" + name);
  return {};
}

const std::string& NameOf(const TenantConfig& config) {
  return config.hostname.empty() ? config.name : config.hostname;
}

std::string HostsText(const TenantConfig& config) {
  const std::string& name = NameOf(config);
  std::string text = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n";
  text += config.ip.ToString() + " " + name;
  if (const size_t dot = name.find('.'); dot != std::string::npos)
    text += " " + name.substr(0, dot);
  return text + "\n";
}

}  // namespace

Status WriteEtcFiles(int plain_root, int upper, const TenantConfig& config) {
  if (::mkdirat(plain_root, "etc", 0755) != 0 && errno != EEXIST) return Errno("mkdir /etc");
  const auto etc = OpenEtc(plain_root);
  if (!etc) return etc.error();
  if (!*etc) return {};
  auto root = upper < 0 ? UniqueFd() : OpenBeneath(upper, ".", O_RDONLY | O_DIRECTORY);
  if (!root) return root.error();
  const auto upper_etc = upper < 0 ? UniqueFd() : OpenEtc(root->get());
  if (!upper_etc) return upper_etc.error();
  const Place place{etc->get(), root->get(), upper_etc->get()};
  BAILEY_TRY(Write(place, "hostname", NameOf(config) + "\n"));
  BAILEY_TRY(Write(place, "hosts", std::string(kOurs) + HostsText(config)));
  if (config.resolv_conf.empty()) return {};
  return Write(place, "resolv.conf", std::string(kOurs) + config.resolv_conf);
}

}  // namespace bailey::supervisor
