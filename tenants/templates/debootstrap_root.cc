#include <linux/capability.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <optional>

#include "base/files.h"
#include "tenants/templates/apt_sources.h"
#include "tenants/templates/debootstrap_progress.h"
#include "tenants/templates/foreign_program.h"
#include "tenants/templates/root_builders.h"
#include "tenants/templates/root_writer.h"

namespace bailey::tenants {
namespace {

constexpr const char* kDebootstrap = "/usr/sbin/debootstrap";
constexpr const char* kKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg";

// What unpacking and configuring packages in a chroot takes. They come signed, but a maintainer
// script still has no business with the host's kernel, network or clock.
constexpr CapabilityMask kKept =
    CapabilityBit(CAP_CHOWN) | CapabilityBit(CAP_DAC_OVERRIDE) |
    CapabilityBit(CAP_DAC_READ_SEARCH) | CapabilityBit(CAP_FOWNER) | CapabilityBit(CAP_FSETID) |
    CapabilityBit(CAP_KILL) | CapabilityBit(CAP_SETUID) | CapabilityBit(CAP_SETGID) |
    CapabilityBit(CAP_SETPCAP) | CapabilityBit(CAP_SETFCAP) | CapabilityBit(CAP_SYS_CHROOT) |
    CapabilityBit(CAP_MKNOD) |
    CapabilityBit(CAP_SYS_ADMIN) |  // it mounts /proc and /sys in the chroot
    CapabilityBit(CAP_NET_BIND_SERVICE) | CapabilityBit(CAP_AUDIT_WRITE);

std::string Joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ",") + word;
  return text;
}

SuiteMirror MirrorFor(const RootBuild& build) {
  SuiteMirror mirror = ChooseMirror(ReadAptSources(build.host + "/etc/apt"), build.request.suite);
  if (!build.request.mirror.empty()) {
    mirror.main.uri = build.request.mirror;
    mirror.main.keyring.clear();
    mirror.main.components = {"main"};
  }
  return mirror;
}

Status Run(const RootBuild& build, const SuiteMirror& mirror) {
  const std::string keyring = mirror.main.keyring.empty() ? kKeyring : mirror.main.keyring;
  if (::access(keyring.c_str(), R_OK) != 0)
    return Errno("keyring " + keyring).WithHint("apt-get install debian-archive-keyring");
  ForeignProgram program;
  program.argv = {kDebootstrap,           "--debian-installer",
                  "--variant=minbase",    "--force-check-gpg",
                  "--keyring=" + keyring, "--components=" + Joined(mirror.main.components)};
  if (!build.request.include.empty())
    program.argv.push_back("--include=" + Joined(build.request.include));
  program.argv.insert(program.argv.end(), {build.request.suite, build.root_path, mirror.main.uri});
  program.keep = kKept;
  program.output_at = {1, 2, 3};  // 3: where --debian-installer tells how far it is
  DebootstrapProgress progress(build.progress);
  program.on_line = [&](std::string_view line) { progress.Line(line); };
  const Status done = RunForeign(program);
  if (done) return {};
  return Error{{},
               done.error().context + progress.Problems(),
               "is the suite right, and can this host reach the mirror?"};
}

// What made this root unlike a tenant's: traces of this host, devices, downloaded packages.
Status CleanUp(const RootWriter& root) {
  for (const char* path : {"etc/resolv.conf", "etc/hostname", "etc/hosts", "etc/machine-id",
                           "var/lib/dbus/machine-id", "var/cache/apt/archives", "var/lib/apt/lists",
                           "var/log/bootstrap.log", "debootstrap", "dev", "proc", "sys"})
    BAILEY_TRY(root.Remove(path));
  for (const char* path : {"var/cache/apt/archives", "var/lib/apt/lists"})
    BAILEY_TRY(root.Directory(std::string(path) + "/partial", 0755));
  return {};
}

}  // namespace

Status BuildDebootstrapRoot(const RootBuild& build, Template* made) {
  if (::access(kDebootstrap, X_OK) != 0)
    return Errno(kDebootstrap).WithHint("apt-get install debootstrap");
  const SuiteMirror mirror = MirrorFor(build);
  BAILEY_TRY(Run(build, mirror));
  build.progress("cleaning up", 97);
  const RootWriter root(build.root);
  BAILEY_TRY(CleanUp(root));
  for (const char* path : {"dev", "proc", "sys"}) BAILEY_TRY(root.Directory(path, 0755));
  BAILEY_TRY(root.File("etc/apt/sources.list", SourcesListFor(mirror), 0644));
  BAILEY_TRY(WriteServiceStart(root));
  made->source = "Debian " + build.request.suite + " from " + WithoutCredentials(mirror.main.uri);
  if (!build.request.include.empty()) made->source += " with " + Joined(build.request.include);
  return {};
}

}  // namespace bailey::tenants
