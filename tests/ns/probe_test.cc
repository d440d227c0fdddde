// bailey-probe where there are no walls, but in namespaces of the test's: it must see that it gets
// through. And the doctor, who must find this host fit, as the other tests need it to be.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>
#include <cstdio>
#include <map>
#include <string>

#include "tenants/cli/verify_report.h"
#include "tenants/cli/views.h"
#include "tenants/doctor/host_checks.h"

namespace bailey::tenants {
namespace {

std::string BinDirectory() {
  const char* bin = std::getenv("BAILEY_BIN");
  return bin != nullptr ? bin : "build/dev/bin";
}

TEST(Probe, SeesThatThereAreNoWalls) {
  const std::string command =
      "unshare --mount --pid --net --uts --ipc --cgroup --fork --mount-proc " + BinDirectory() +
      "/bailey-probe --ip 203.0.113.7 </dev/null";
  FILE* out = ::popen(command.c_str(), "re");  // NOLINT(bugprone-command-processor)
  ASSERT_NE(out, nullptr);
  VerifyReport report;
  std::array<char, 4096> bytes{};
  for (size_t got = 0; (got = std::fread(bytes.data(), 1, bytes.size(), out)) > 0;)
    report.Take({bytes.data(), got});
  EXPECT_EQ(::pclose(out), 0);
  ASSERT_TRUE(report.complete());
  std::map<std::string, std::string> results;
  for (const auto& attempt : report.attempts())
    results[MemberText(attempt.as_object(), "wall") + ": " +
            MemberText(attempt.as_object(), "attempt")] = MemberText(attempt.as_object(), "result");
  for (const char* hole : {"mount: mount a tmpfs",
                           "mount: clone the tree of mounts",
                           "mount: change a mount's attributes",
                           "devices: mknod c 1:1, memory in /tmp",
                           "devices: mknod c 0:0, a whiteout",
                           "namespaces: unshare user",
                           "namespaces: clone with a new net",
                           "namespaces: join mnt of init",
                           "namespaces: /proc/sys/user/max_user_namespaces",
                           "processes: take a higher priority",
                           "sockets: a packet socket",
                           "sockets: a raw IPv4 socket",
                           "sockets: netlink: netfilter",
                           "sockets: a transparent socket",
                           "network: add an address",
                           "network: add a route",
                           "network: add a routing rule",
                           "network: change an interface",
                           "kernel: bpf",
                           "kernel: set the clock",
                           "kernel: open_by_handle_at",
                           "kernel: fanotify_init",
                           "files: write /proc/sys/kernel/core_pattern",
                           "identity: the seccomp mode",
                           "identity: the bounding capabilities",
                           "identity: the effective capabilities",
                           "identity: /proc/self/uid_map"}) {
    ASSERT_TRUE(results.contains(hole)) << hole;
    EXPECT_EQ(results[hole], "FAIL") << hole;
  }
}

TEST(Doctor, FindsThisHostFit) {
  for (const HostCheck& check : ExamineHost({BinDirectory(), "/tmp", "/run/bailey"})) {
    // What is built is another test's matter; everything else was there when tests were chosen.
    if (check.name == "Bailey's programs") continue;
    EXPECT_NE(check.result, CheckResult::kMissing) << check.name << ": " << check.found;
    EXPECT_EQ(check.hint.empty(), check.result == CheckResult::kOk) << check.name;
  }
}

TEST(Doctor, SaysWhatIsMissingAndHowToGetIt) {
  const auto programs = CheckPrograms({"/nonexistent", "/tmp", "/run/bailey"});
  ASSERT_FALSE(programs.empty());
  EXPECT_EQ(programs[0].result, CheckResult::kMissing);
  EXPECT_NE(programs[0].found.find("bailey-supervisor"), std::string::npos);
  const auto storage = CheckStorage({"", "/proc/bailey", ""});
  ASSERT_FALSE(storage.empty());
  EXPECT_NE(storage[0].result, CheckResult::kOk) << "nothing can be kept in /proc";
}

TEST(Doctor, ComparesReleases) {
  EXPECT_TRUE(IsAtLeastRelease("6.12.0-amd64", 6, 12));
  EXPECT_TRUE(IsAtLeastRelease("6.18.44", 6, 12));
  EXPECT_TRUE(IsAtLeastRelease("7.0", 6, 12));
  EXPECT_FALSE(IsAtLeastRelease("6.1.0-40-amd64", 6, 12));
  EXPECT_FALSE(IsAtLeastRelease("5.19", 6, 12));
  EXPECT_FALSE(IsAtLeastRelease("junk", 6, 12));
}

}  // namespace
}  // namespace bailey::tenants
