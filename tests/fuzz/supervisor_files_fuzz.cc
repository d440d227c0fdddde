// Files that the supervisor and bailey-init read: a tenant's own passwd and group, and the kernel's
// cgroup files. The first byte says which.
#include <filesystem>
#include <fstream>
#include <optional>

#include "supervisor/cgroup_usage.h"
#include "supervisor/passwd_lookup.h"
#include "tests/fuzz/fuzz_input.h"

using bailey::FuzzInput;
using bailey::Require;
using namespace bailey::supervisor;  // NOLINT(google-build-using-namespace): its parsers are meant

namespace {

namespace stdfs = std::filesystem;

// A v2 tree with the files of one tenant, all with the same text.
class CgroupTree {
 public:
  CgroupTree() {
    std::string path = stdfs::temp_directory_path() / "bailey-fuzz.XXXXXX";
    Require(::mkdtemp(path.data()) != nullptr, "mkdtemp");
    root_ = path;
    std::ofstream(root_ / "cgroup.controllers") << "cpu memory pids\n";
    stdfs::create_directories(root_ / "t/tenant");
    stdfs::create_directories(root_ / "t/servers");
    const std::string table = "30 1 0:26 / " + path + " rw - cgroup2 cgroup2 rw\n";
    auto host = CgroupHost::FromMountinfo(table);
    Require(host.has_value(), "a v2 tree is recognised");
    host_ = std::move(*host);
  }
  ~CgroupTree() { stdfs::remove_all(root_); }

  CgroupUsage Read(const std::string& text) {
    for (const char* file :
         {"t/cpu.stat", "t/tenant/memory.current", "t/tenant/memory.stat", "t/tenant/memory.events",
          "t/tenant/pids.current", "t/tenant/pids.events", "t/servers/memory.current"})
      std::ofstream(root_ / file) << text;
    return ReadCgroupUsage(*host_, "t");
  }

 private:
  stdfs::path root_;
  std::optional<CgroupHost> host_;
};

void ReadPasswd(FuzzInput& input) {
  const std::string wanted = input.Text();
  const std::string passwd = input.Text();
  const std::string group = input.RestText();
  PasswdUser user;
  if (!FindUser(passwd, group, wanted, &user)) return;
  Require(user.uid <= kLargestId && user.gid <= kLargestId, "an id that is mapped");
  Require(user.name.find('\n') == std::string_view::npos, "a name within its line");
  std::array<gid_t, 8> groups{};
  const size_t found = FindGroups(group, user.name, groups);
  Require(found <= groups.size(), "as many groups as fit");
  for (size_t i = 0; i < found; ++i) Require(groups[i] <= kLargestId, "a group that is mapped");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static CgroupTree tree;
  FuzzInput input(data, size);
  if (input.Below(4) == 0)
    Require(tree.Read(input.RestText()).present, "the group is there");
  else
    ReadPasswd(input);
  return 0;
}
