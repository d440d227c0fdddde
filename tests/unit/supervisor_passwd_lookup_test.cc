#include <gmock/gmock.h>

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "supervisor/passwd_lookup.h"

namespace bailey::supervisor {
namespace {

constexpr std::string_view kPasswd =
    "root:x:0:0:root:/root:/bin/bash\n"
    "\n"
    "web:x:33:34:a comment:/var/www:/usr/sbin/nologin\n"
    "short:x\n"
    "large:x:65535:1::/:/bin/sh\n"
    "negative:x:-1:1::/:/bin/sh\n"
    "12:x:500:500::/home/12:/bin/sh\n"
    "last:x:7:7::/last:/bin/sh";
constexpr std::string_view kGroup =
    "root:x:0:\nadm:x:4:web,last\nbad:x:y:web\nlogs:x:8:webber,web\nhuge:x:99999:web\n";

struct Case {
  std::string wanted;
  std::optional<std::pair<unsigned, unsigned>> ids;
  std::string home;
};

TEST(FindUser, ByNameNumberAndGroup) {
  const std::vector<Case> cases = {
      {"", {{0, 0}}, "/root"},
      {"root", {{0, 0}}, "/root"},
      {"0", {{0, 0}}, "/root"},
      {"web", {{33, 34}}, "/var/www"},
      {"33", {{33, 34}}, "/var/www"},
      {"web:adm", {{33, 4}}, "/var/www"},
      {"web:4", {{33, 4}}, "/var/www"},
      {"12", {{500, 500}}, "/home/12"},  // a name first
      {"1000", {{1000, 0}}, "/"},
      {"1000:1001", {{1000, 1001}}, "/"},
      {"last", {{7, 7}}, "/last"},
      {"65534", {{65534, 0}}, "/"},
      {"65535", {}, ""},  // not mapped inside
      {"large", {}, ""},
      {"negative", {}, ""},
      {"-1", {}, ""},
      {"4294967296", {}, ""},
      {"short", {}, ""},
      {"nobody", {}, ""},
      {"web:none", {}, ""},
      {"web:", {}, ""},
      {"web:65535", {}, ""},
      {"33x", {}, ""},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.wanted);
    PasswdUser user;
    ASSERT_EQ(FindUser(kPasswd, kGroup, c.wanted, &user), c.ids.has_value());
    if (!c.ids) continue;
    EXPECT_EQ(std::pair(user.uid, user.gid), *c.ids);
    EXPECT_EQ(user.home, c.home);
  }
}

TEST(FindUser, RootIsZeroWhateverTheFileSays) {
  PasswdUser user;
  for (const char* wanted : {"", "root", "0"}) {
    ASSERT_TRUE(
        FindUser("root:x:5:5::/:/a\n0:x:6:6::/:/b\ntoor:x:0:9::/t:/c\n", "", wanted, &user));
    EXPECT_EQ(user.uid, 0U) << wanted;
    EXPECT_EQ(user.home, "/t");
    ASSERT_TRUE(FindUser("root:x:5:5::/:/a\n", "", wanted, &user));
    EXPECT_EQ(user.uid, 0U) << wanted;
  }
}

TEST(FindUser, ARootWithoutFilesIsRoot) {
  PasswdUser user;
  ASSERT_TRUE(FindUser("", "", "", &user));
  EXPECT_EQ(user.uid, 0U);
  EXPECT_EQ(user.name, "root");
  EXPECT_EQ(user.home, "/root");
  EXPECT_FALSE(FindUser("", "", "web", &user));
}

std::vector<gid_t> GroupsOf(std::string_view name, size_t room) {
  std::array<gid_t, 8> out{};
  return {out.begin(), out.begin() + FindGroups(kGroup, name, std::span(out).first(room))};
}

TEST(FindGroups, ListsMembershipsAsFarAsTheyFit) {
  EXPECT_THAT(GroupsOf("web", 8), testing::ElementsAre(4, 8));
  EXPECT_THAT(GroupsOf("web", 1), testing::ElementsAre(4));
  EXPECT_THAT(GroupsOf("we", 8), testing::IsEmpty());
  EXPECT_THAT(GroupsOf("", 8), testing::IsEmpty());
}

}  // namespace
}  // namespace bailey::supervisor
