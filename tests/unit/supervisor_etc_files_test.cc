// /etc/hostname, hosts and resolv.conf: written, kept, and never through a symlink.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <optional>

#include "base/files.h"
#include "supervisor/etc_files.h"

namespace bailey::supervisor {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr std::array<const char*, 3> kNames = {"hostname", "hosts", "resolv.conf"};

class EtcFiles : public testing::Test {
 protected:
  EtcFiles() {
    char place[] = "/tmp/bailey-test-XXXXXX";
    directory_ = ::mkdtemp(place);
    root_ = directory_ + "/root";    // what the file server would show
    upper_ = directory_ + "/upper";  // what of it is the tenant's own
    fs::create_directories(root_ + "/etc");
    fs::create_directories(upper_ + "/etc");
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
  // Another tenant, in new directories.
  void Reset() {
    for (const std::string& layer : {root_, upper_}) {
      fs::remove_all(layer);
      fs::create_directories(layer + "/etc");
    }
    config_.hostname = "www.acme.example";
    config_.resolv_conf = "nameserver 192.0.2.53\n";
  }
  // In place.
  static Status Overwrite(const std::string& path, const std::string& text) {
    const auto file = OpenPath(path, O_WRONLY | O_TRUNC);
    return file ? WriteAll(file->get(), text) : Status(file.error());
  }
  std::string Text(const std::string& name) { return *ReadFile(root_ + "/etc/" + name); }
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

TEST_F(EtcFiles, ATemplatesAreReplaced) {
  for (const char* name : kNames) Put(root_ + "/etc/" + name, "10.0.0.1 build\n");
  Write();
  EXPECT_THAT(Resolv(), HasSubstr("192.0.2.53"));
  EXPECT_THAT(Text("hosts"), HasSubstr("203.0.113.7"));
  EXPECT_EQ(Text("hostname"), "www.acme.example\n");
}

TEST_F(EtcFiles, WhatTheTenantHadBeforeIsKept) {
  for (const char* name : kNames)
    for (const std::string& layer : {root_, upper_}) Put(layer + "/etc/" + name, "9.9.9.9\n");
  Write();
  for (const char* name : kNames) EXPECT_EQ(Text(name), "9.9.9.9\n");
}

// Each way in which a tenant makes a file its own, and the file after two more starts, the second
// with another configuration.
TEST_F(EtcFiles, TheTenantsOwnAreKept) {
  struct Way {
    const char* name;
    std::function<void(const std::string& path)> change;
    std::optional<std::string> after;  // none: no file
  };
  const Way ways[] = {
      {"written", [](const std::string& path) { ASSERT_TRUE(Overwrite(path, "mine\n")); },
       "mine\n"},
      {"emptied", [](const std::string& path) { ASSERT_TRUE(Overwrite(path, "")); }, ""},
      {"renamed", [](const std::string& path) { ASSERT_TRUE(ReplaceFile(path, "other\n", 0600)); },
       "other\n"},
      {"unlinked", [](const std::string& path) { fs::remove(path); }, std::nullopt},
      {"whiteout",
       [](const std::string& path) {
         fs::remove(path);
         ASSERT_EQ(::mknod(path.c_str(), S_IFCHR, 0), 0);
       },
       std::nullopt},
  };
  for (const Way& way : ways) {
    for (const char* name : kNames) {
      SCOPED_TRACE(std::string(way.name) + " " + name);
      Reset();
      Write();
      const std::string path = root_ + "/etc/" + name;
      way.change(path);
      Write();
      config_.hostname = "other.example";
      config_.resolv_conf = "nameserver 192.0.2.54\n";
      Write();
      EXPECT_EQ(fs::is_regular_file(path), way.after.has_value());
      if (way.after) {
        EXPECT_EQ(Text(name), *way.after);
      }
    }
  }
}

TEST_F(EtcFiles, AChangeBelowOurFirstLineIsTheTenants) {
  Write();
  const std::string text = Text("hosts") + "192.0.2.9 db\n";
  ASSERT_TRUE(Overwrite(root_ + "/etc/hosts", text));
  config_.hostname = "other.example";
  Write();
  EXPECT_EQ(Text("hosts"), text);
}

TEST_F(EtcFiles, ASymlinkIsTheTenants) {
  Write();
  fs::remove(root_ + "/etc/resolv.conf");
  fs::create_symlink("../run/resolv.conf", root_ + "/etc/resolv.conf");
  Write();
  EXPECT_TRUE(fs::is_symlink(root_ + "/etc/resolv.conf"));
}

TEST_F(EtcFiles, OursAreRenewedAndOnlyThen) {
  Write();
  const auto inode = [&] {
    struct stat status {};
    EXPECT_EQ(::stat((root_ + "/etc/resolv.conf").c_str(), &status), 0);
    return status.st_ino;
  };
  const ino_t before = inode();
  Write();
  EXPECT_EQ(inode(), before);
  config_.resolv_conf = "nameserver 192.0.2.54\n";
  config_.hostname = "new.example";
  Write();
  EXPECT_THAT(Resolv(), HasSubstr("192.0.2.54"));
  EXPECT_EQ(Text("hostname"), "new.example\n");
  EXPECT_THAT(Text("hosts"), HasSubstr("203.0.113.7 new.example new\n"));
}

TEST_F(EtcFiles, ACopyWithoutAttributesIsKnownByItsFirstLine) {
  Write();
  fs::copy(root_ + "/etc", upper_ + "/etc", fs::copy_options::overwrite_existing);
  ASSERT_EQ(::removexattr(upper_.c_str(), "trusted.bailey.etc.resolv.conf"), 0);
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
