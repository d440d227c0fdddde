// What a file server is given to compute its tenant's machine from, over a v2 tree of files.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "base/files.h"
#include "supervisor/machine_sources.h"

namespace bailey::supervisor {
namespace {

namespace stdfs = std::filesystem;

class MachineSources : public testing::Test {
 protected:
  MachineSources() {
    std::string path = stdfs::temp_directory_path() / "sources.XXXXXX";
    EXPECT_NE(::mkdtemp(path.data()), nullptr);
    root_ = path;
    stdfs::create_directories(root_ / "t/tenant");
    for (const char* file : {"cgroup.controllers", "t/cpu.max", "t/cpu.stat", "t/tenant/cpu.stat",
                             "t/tenant/memory.current", "t/tenant/memory.max",
                             "t/tenant/memory.stat", "t/tenant/pids.current"})
      std::ofstream(root_ / file) << "cpu memory pids\n";
    const auto host =
        CgroupHost::FromMountinfo("30 1 0:26 / " + path + " rw - cgroup2 cgroup2 rw\n");
    EXPECT_TRUE(host);
    auto sources = OpenMachineSources(*host, "t");
    EXPECT_TRUE(sources) << sources.error().Message();
    for (MachineSource& source : *sources) files_[source.name] = std::move(source.fd);
  }
  ~MachineSources() override { stdfs::remove_all(root_); }

  stdfs::path root_;
  std::map<std::string, UniqueFd> files_;
};

TEST_F(MachineSources, OneFileIsGivenOnce) {
  EXPECT_TRUE(files_.contains("cpu.usage"));
  EXPECT_FALSE(files_.contains("cpu.throttled")) << "on v2 it is the same";
}

TEST_F(MachineSources, OfTheHostsDisksTheNamesAlone) {
  const auto disks = files_.find("host.disks");
  ASSERT_NE(disks, files_.end());
  EXPECT_NE(::fcntl(disks->second.get(), F_GET_SEALS) & F_SEAL_WRITE, 0);
  const auto text = ReadAll(disks->second.get());
  ASSERT_TRUE(text);
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    unsigned major = 0, minor = 0;
    std::string name, more;
    EXPECT_TRUE(words >> major >> minor >> name) << line;
    EXPECT_FALSE(words >> more) << line;
  }
}

}  // namespace
}  // namespace bailey::supervisor
