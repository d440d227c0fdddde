#include <gtest/gtest.h>
#include <sys/mount.h>

#include "fs/options.h"

namespace bailey::fs {
namespace {

using Strings = std::vector<std::string>;

TEST(Options, StandaloneTakesLayersAndAMountPoint) {
  const auto options = ParseOptions({"--lower", "/a", "--lower", "/b", "--upper", "/u", "--hide",
                                     "/etc/x", "--foreground", "/m"});
  ASSERT_TRUE(options) << options.error().Message();
  EXPECT_EQ(options->lowers, (Strings{"/a", "/b"}));
  EXPECT_EQ(options->upper, "/u");
  EXPECT_EQ(options->hidden, Strings{"/etc/x"});
  EXPECT_EQ(options->mount_point, "/m");
  EXPECT_TRUE(options->foreground);
  EXPECT_FALSE(options->is_tenants());
}

TEST(Options, MountTakesASourceAndItsOptions) {
  const auto options =
      ParseOptions({"acme", "/m", "-o",
                    "lowerdir=/a\\:x:/b,upperdir=/u,workdir=/w,ro,nosuid,x-systemd.y,nofail"});
  ASSERT_TRUE(options) << options.error().Message();
  EXPECT_EQ(options->source, "acme");
  EXPECT_EQ(options->lowers, (Strings{"/a:x", "/b"}));
  EXPECT_EQ(options->work, "/w");
  EXPECT_EQ(options->mount_flags, static_cast<unsigned long>(MS_RDONLY | MS_NOSUID));
}

TEST(Options, MountMayBeWrittenAsInFstab) {
  const std::string written =
      "lowerdir=/a,noatime,user=operator,users,comment=x,X-mount.mkdir,fsname=web,"
      "subtype=bailey-fs,_netdev,lazytime,strictatime";
  const auto options = ParseOptions({"none", "/m", "-n", "-t", "fuse.bailey-fs", "-o", written});
  ASSERT_TRUE(options) << options.error().Message();
  EXPECT_EQ(options->source, "web");
  EXPECT_TRUE(options->is_mounts());
  EXPECT_EQ(options->mount_flags,
            static_cast<unsigned long>(MS_NOATIME | MS_LAZYTIME | MS_STRICTATIME));
}

TEST(Options, ARemountAndACountNeedNoLayers) {
  const auto remount = ParseOptions({"none", "/m", "-o", "remount,ro,user_id=0,group_id=0"});
  ASSERT_TRUE(remount) << remount.error().Message();
  EXPECT_TRUE(remount->remount);
  const auto counters = ParseOptions({"--counters", "/m"});
  ASSERT_TRUE(counters) << counters.error().Message();
  EXPECT_TRUE(counters->counters);
  EXPECT_FALSE(ParseOptions({"--counters"}));
}

TEST(Options, ATenantsServerTakesDescriptors) {
  const auto options =
      ParseOptions({"--fuse-fd", "3", "--lower-fd", "4", "--lower-fd", "5", "--upper-fd", "6",
                    "--work-fd", "7", "--ready-fd", "8", "--counters-fd", "9", "--confine"});
  ASSERT_TRUE(options) << options.error().Message();
  EXPECT_TRUE(options->is_tenants());
  EXPECT_EQ(options->lower_fds, (std::vector<int>{4, 5}));
  EXPECT_TRUE(options->confine);
}

TEST(Options, WhatIsWrongIsRefusedByName) {
  const std::pair<Strings, const char*> cases[] = {
      {{}, "--lower"},
      {{"--lower", "/a"}, "mount point"},
      {{"--lower"}, "its value is missing"},
      {{"--bogus", "/m"}, "--bogus: unknown option"},
      {{"--lower", "/a", "/m", "-o", "bogus"}, "-o bogus"},
      {{"--lower", "/a", "/m", "-o", "upper=/u"}, "-o upper=/u"},
      {{"--lower", "/a", "--work", "/w", "/m"}, "--work goes with --upper"},
      {{"--lower", "/a", "--confine", "/m"}, "--confine"},
      {{"--lower", "/a", "x", "y", "z"}, "one argument too many"},
      {{"--fuse-fd", "three"}, "not a number"},
      {{"--fuse-fd", "-1"}, "not a number"},
      {{"--fuse-fd", "3"}, "--lower-fd"},
      {{"--fuse-fd", "3", "--lower-fd", "4", "--upper-fd", "5"}, "--work-fd go together"},
      {{"--fuse-fd", "3", "--lower-fd", "4", "/m"}, "--fuse-fd takes its layers"},
      {{"--lower", "/a", "--readers", "0", "/m"}, "--readers"},
  };
  for (const auto& [arguments, text] : cases) {
    const auto options = ParseOptions(arguments);
    ASSERT_FALSE(options) << text;
    EXPECT_NE(options.error().Message().find(text), std::string::npos) << options.error().Message();
  }
}

}  // namespace
}  // namespace bailey::fs
