// The /etc of a template projected from the host: what programs need, and nothing that is the
// host's own business. A file gets in by being named here, never by not being excluded.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "base/result.h"
#include "tenants/templates/root_writer.h"

namespace bailey::tenants {

struct HostEtcEntry {
  std::string_view path;    // below /etc; a directory is taken with all that is in it
  std::string_view reason;  // why a program needs it
};

// Of these, only what is a directory, a symlink, or a regular file of root's that everybody may
// read is taken; and never one whose name or text looks like a key or a password.
inline constexpr auto kHostEtc = std::to_array<HostEtcEntry>({
    {"alternatives", "what /usr/bin/editor, java, awk … point to"},
    {"bash_completion.d", "completion"},
    {"ca-certificates.conf", "update-ca-certificates"},
    {"debian_version", "scripts that ask which Debian this is"},
    {"fonts", "fontconfig"},
    {"gai.conf", "order of addresses"},
    {"host.conf", "resolver"},
    {"inputrc", "readline"},
    {"ld.so.cache", "where libraries are"},
    {"ld.so.conf", "where libraries are"},
    {"ld.so.conf.d", "where libraries are"},
    {"locale.alias", "locales"},
    {"localtime", "time zone"},
    {"login.defs", "useradd, su"},
    {"magic", "file"},
    {"magic.mime", "file"},
    {"mailcap", "MIME handlers"},
    {"mime.types", "web servers"},
    {"netconfig", "RPC"},
    {"networks", "names of networks"},
    {"os-release", "scripts that ask which system this is"},
    {"perl", "perl -V and its libraries"},
    {"protocols", "getprotobyname"},
    {"python3", "debian's python helpers"},
    {"python3.11", "site customisation"},
    {"python3.13", "site customisation"},
    {"rpc", "RPC"},
    {"services", "getservbyname"},
    {"shells", "chsh, su"},
    {"skel", "useradd -m"},
    {"ssl/certs", "certificate authorities"},
    {"ssl/openssl.cnf", "OpenSSL"},
    {"terminfo", "terminals"},
    {"timezone", "time zone"},
    {"vim", "vim"},
    {"xattr.conf", "cp -a"},
});

// Writes the /etc of `root` from the host tree at `host` ("/"): the entries above, and texts of our
// own for passwd, group, shadow (no password works), nsswitch.conf, pam.d, profile, bash.bashrc.
Status WriteHostEtc(const std::string& host, const RootWriter& root);

// The lines of passwd(5) and group(5) that a tenant may see: ids below 1000, and 65534; without
// passwords, and no member that is not itself let through.
std::string SystemUsersOnly(std::string_view passwd);
std::string SystemGroupsOnly(std::string_view group, std::string_view passwd);
// Only LANG, LANGUAGE and LC_… assignments of /etc/default/locale.
std::string LocaleOnly(std::string_view text);
// Names and contents that are never copied, wherever they are.
bool LooksSecret(std::string_view name, std::string_view text);

}  // namespace bailey::tenants
