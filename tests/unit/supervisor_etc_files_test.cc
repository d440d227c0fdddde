// /etc/resolv.conf and /etc/hosts: written, kept, and never through a symlink.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/files.h"
#include "supervisor/etc_files.h"

namespace bailey::supervisor {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class EtcFiles : public testing::Test {
 protected:
  EtcFiles() {
    char place[] = "/tmp/bailey-test-XXXXXX";
    directory_ = ::mkdtemp(place);
    root_ = directory_ + "/root";    // what the file server would show
    upper_ = directory_ + "/upper";  // what of it is the tenant's own
    fs::create_directories(root_ + "/etc");
    fs::create_directories(upper_);
    config_.hostname = "www.acme.example";
    config_.ip = *IpAddress::Parse("203.0.113.7");
    config_.resolv_conf = "nameserver 192.0.2.53\n";
  }
  ~EtcFiles() override { fs::remove_all(directory_); }

  void Write() {
    const auto root = OpenPath(root_, O_PATH | O_DIRECTORY);
    const auto upper = OpenPath(upper_, O_RDONLY | O_DIRECTORY);
    const Status written = WriteEtcFiles(root->get(), upper->get(), config_);
    EXPECT_TRUE(written) << written.error().Message();
  }
  void Put(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(path).parent_path());
    ASSERT_TRUE(ReplaceFile(path, text, 0644));
  }
  std::string Resolv() { return *ReadFile(root_ + "/etc/resolv.conf"); }

  std::string directory_, root_, upper_;
  TenantConfig config_;
};

TEST_F(EtcFiles, AreWrittenWhereThereAreNone) {
  fs::remove(root_ + "/etc");
  Write();
  EXPECT_THAT(Resolv(), testing::EndsWith("one of your own.\nnameserver 192.0.2.53\n"));
  EXPECT_THAT(*ReadFile(root_ + "/etc/hosts"), HasSubstr("203.0.113.7 www.acme.example www\n"));
  struct stat status {};
  ASSERT_EQ(::stat((root_ + "/etc/resolv.conf").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0644U);
}

TEST_F(EtcFiles, ATemplatesResolverIsReplacedAndItsHostsKept) {
  Put(root_ + "/etc/resolv.conf", "nameserver 10.0.0.1\n");
  Put(root_ + "/etc/hosts", "10.0.0.1 build\n");
  Write();
  EXPECT_THAT(Resolv(), HasSubstr("192.0.2.53"));
  EXPECT_EQ(*ReadFile(root_ + "/etc/hosts"), "10.0.0.1 build\n");
}

TEST_F(EtcFiles, TheTenantsOwnAreKept) {
  Put(root_ + "/etc/resolv.conf", "nameserver 9.9.9.9\n");
  Put(upper_ + "/etc/resolv.conf", "nameserver 9.9.9.9\n");
  Write();
  EXPECT_EQ(Resolv(), "nameserver 9.9.9.9\n");
  fs::remove(upper_ + "/etc/resolv.conf");
  fs::create_symlink("../run/resolv.conf", upper_ + "/etc/resolv.conf");
  Write();
  EXPECT_EQ(Resolv(), "nameserver 9.9.9.9\n");
}

TEST_F(EtcFiles, OursAreRenewedAndOnlyThen) {
  Write();
  fs::copy(root_ + "/etc", upper_ + "/etc");
  const auto inode = [&] {
    struct stat status {};
    EXPECT_EQ(::stat((root_ + "/etc/resolv.conf").c_str(), &status), 0);
    return status.st_ino;
  };
  const ino_t before = inode();
  Write();
  EXPECT_EQ(inode(), before);
  config_.resolv_conf = "nameserver 192.0.2.54\n";
  Write();
  EXPECT_THAT(Resolv(), HasSubstr("192.0.2.54"));
}

TEST_F(EtcFiles, NoSymlinkIsFollowed) {
  Put(directory_ + "/victim", "untouched");
  fs::create_symlink(directory_ + "/victim", root_ + "/etc/resolv.conf");
  fs::create_symlink(directory_ + "/victim", root_ + "/etc/.resolv.conf.bailey");
  Write();
  EXPECT_EQ(*ReadFile(directory_ + "/victim"), "untouched");
  EXPECT_FALSE(fs::is_symlink(root_ + "/etc/resolv.conf"));
  fs::remove_all(root_ + "/etc");
  fs::create_directory(directory_ + "/elsewhere");
  fs::create_symlink(directory_ + "/elsewhere", root_ + "/etc");
  Write();
  EXPECT_TRUE(fs::is_empty(directory_ + "/elsewhere"));
}

TEST_F(EtcFiles, AFifoHoldsNobodyUp) {
  fs::create_directories(upper_ + "/etc");
  for (const std::string& etc : {root_ + "/etc", upper_ + "/etc"}) {
    ASSERT_EQ(::mkfifo((etc + "/resolv.conf").c_str(), 0644), 0);
    ASSERT_EQ(::mkfifo((etc + "/hosts").c_str(), 0644), 0);
  }
  Write();
  EXPECT_TRUE(fs::is_fifo(root_ + "/etc/resolv.conf"));
}

}  // namespace
}  // namespace bailey::supervisor
