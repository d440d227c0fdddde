// Entering a running tenant: which walls are joined, who one is, what fails and how.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "base/files.h"
#include "tests/support/tenant_fixture.h"

namespace bailey::supervisor {
namespace {

class Enter : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    tenant_ = new TenantFixture();
    const Status started = tenant_->LaunchAndStart();
    ASSERT_TRUE(started) << started.error().Message();
  }
  static void TearDownTestSuite() {
    delete tenant_;
    tenant_ = nullptr;
  }
  static TenantFixture& tenant() { return *tenant_; }

  static std::string WhoAmI(const std::string& user, const std::string& cwd = "") {
    EnterRequest request;
    request.user = user;
    request.cwd = cwd;
    const RunResult result = tenant().Run({"/probe", "whoami"}, request);
    return result.executed ? result.output : result.executed.error().Message();
  }

 private:
  static TenantFixture* tenant_;
};
TenantFixture* Enter::tenant_ = nullptr;

constexpr char kRootPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n";
constexpr char kUserPath[] = "/usr/local/bin:/usr/bin:/bin\n";

TEST_F(Enter, AsUsersOfTheTenant) {
  EXPECT_EQ(WhoAmI(""), std::string("0 0 7\n/root\n/root\n") + kRootPath);
  EXPECT_EQ(WhoAmI("web"), std::string("33 33 4 7\n/home/web\n/home/web\n") + kUserPath);
  EXPECT_EQ(WhoAmI("33:adm"), std::string("33 4 4 7\n/home/web\n/home/web\n") + kUserPath);
  EXPECT_EQ(WhoAmI("1234"), std::string("1234 0\n/\n/\n") + kUserPath);
  EXPECT_EQ(WhoAmI("web", "/etc"), std::string("33 33 4 7\n/etc\n/home/web\n") + kUserPath);
  EXPECT_EQ(WhoAmI("nobody"), "find the user in the tenant's /etc/passwd: Invalid argument");
  EXPECT_EQ(WhoAmI("", "/none"), "enter the directory: No such file or directory");
}

TEST_F(Enter, AUserHasNoCapabilities) {
  EnterRequest request;
  request.user = "web";
  const std::string status = tenant().Run({"/probe", "cat", "/proc/self/status"}, request).output;
  for (const char* line :
       {"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
        "CapBnd:\t00000000b0cca5fb", "CapAmb:\t0000000000000000", "Seccomp:\t2", "NoNewPrivs:\t0"})
    EXPECT_NE(status.find(line), std::string::npos) << line << "\n" << status;
}

TEST_F(Enter, JoinsEveryNamespaceAndGroup) {
  EnterRequest request;
  const auto null = OpenPath("/dev/null", O_RDWR);
  request.input = request.output = request.error = null->get();
  auto entered = tenant().Enter({"/probe", "wait"}, request);
  ASSERT_TRUE(entered) << entered.error().Message();
  tenant().Watch(std::move(entered->seccomp_listener));
  ASSERT_TRUE(ReadEnterReport(entered->report.get()));
  const std::string ours = "/proc/" + std::to_string(entered->pid);
  const std::string init = "/proc/" + std::to_string(tenant().tenant().init_pid);
  for (const char* ns : {"user", "pid", "ipc", "uts", "cgroup", "mnt", "net"}) {
    std::error_code failed;
    const auto link = [&](const std::string& of) {
      return std::filesystem::read_symlink(of + "/ns/" + ns, failed).string();
    };
    EXPECT_EQ(link(ours), link(init)) << ns;
    EXPECT_NE(link(ours), link("/proc/self")) << ns;
  }
  EXPECT_EQ(*ReadFile(ours + "/cgroup"), *ReadFile(init + "/cgroup"));
  EXPECT_EQ(*ReadFile(ours + "/uid_map"), *ReadFile(init + "/uid_map"));
  EXPECT_EQ(::kill(entered->pid, SIGKILL), 0);
  EXPECT_EQ(::waitpid(entered->pid, nullptr, 0), entered->pid);
}

TEST_F(Enter, LeaksNoDescriptor) {
  const auto leak = OpenPath("/", O_RDONLY | O_DIRECTORY);  // what CVE-2024-21626 would use
  const UniqueFd inheritable(::fcntl(leak->get(), F_DUPFD, 100));
  EXPECT_EQ(tenant().Run({"/probe", "descriptors"}).output, "0 1 2 \n");
  EXPECT_EQ(WhoAmI("", "/proc/self/fd/100"), "enter the directory: No such file or directory");
  EXPECT_EQ(WhoAmI("", "/proc/self/fd/3"), "enter the directory: Not a directory");
}

TEST_F(Enter, ReportsWhatCannotBeExecuted) {
  const auto error = [](std::vector<std::string> argv) {
    const RunResult result = tenant().Run(std::move(argv));
    return result.executed ? 0 : result.executed.error().Errno();
  };
  EXPECT_EQ(error({"none"}), ENOENT);
  EXPECT_EQ(error({"/none"}), ENOENT);
  EXPECT_EQ(error({"/etc/passwd"}), EACCES);
  EXPECT_EQ(error({"/etc"}), EACCES);
}

TEST_F(Enter, PassesTheExitStatusOn) {
  EXPECT_EQ(WEXITSTATUS(tenant().Run({"/probe", "exit", "42"}).status), 42);
  EXPECT_EQ(WTERMSIG(tenant().Run({"/probe", "die", "9"}).status), 9);
}

TEST_F(Enter, GivesATerminalOfTheTenantsOwn) {
  EnterRequest request;
  request.terminal = TerminalSize{33, 99};
  const RunResult result = tenant().Run({"/probe", "terminal"}, request);
  EXPECT_TRUE(result.executed) << result.executed.error().Message();
  EXPECT_EQ(result.output, "/dev/pts/0 33x99 owner 0 mode 620 group 5 controls\r\n");
  request.user = "web";
  EXPECT_EQ(tenant().Run({"/probe", "terminal"}, request).output,
            "/dev/pts/0 33x99 owner 33 mode 620 group 5 controls\r\n");
}

TEST_F(Enter, RunsAProgramThatTheRootDoesNotHave) {
  const char* bin = std::getenv("BAILEY_BIN");
  auto program =
      LoadInitProgram(std::string(bin != nullptr ? bin : "build/dev/bin") + "/wall_probe");
  ASSERT_TRUE(program);
  EnterRequest request;
  request.program = program->get();
  EXPECT_EQ(tenant().Run({"no such name", "descriptors"}, request).output, "0 1 2 \n");
}

TEST_F(Enter, TheHelperCannotBeTracedBySeizingItsNumber) {
  // Between clone and exec of the program: dumpable is off, and the memory is nobody's inside.
  EXPECT_EQ(tenant().Try("ptrace_init"), EPERM);
  EXPECT_EQ(tenant().Try("open_init_exe"), EACCES);
}

TEST(EnterFails, AtThePidsLimitAndAfterTheEnd) {
  TenantFixture fixture;
  const Status started = fixture.LaunchAndStart();
  ASSERT_TRUE(started) << started.error().Message();
  ASSERT_TRUE(fixture.cgroup().SetLimits({.pids = 2}));
  const RunResult full = fixture.Run({"/probe", "nothing"});
  ASSERT_FALSE(full.executed);
  EXPECT_EQ(full.executed.error().Errno(), EAGAIN) << full.executed.error().Message();

  ASSERT_TRUE(fixture.cgroup().SetLimits({}));
  EXPECT_EQ(fixture.Try("nothing"), 0);
  ASSERT_TRUE(fixture.cgroup().KillTenant());
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(fixture.tenant().init_pid), &info, WEXITED | WNOWAIT),
            0);
  const RunResult after = fixture.Run({"/probe", "nothing"});
  ASSERT_FALSE(after.executed);
  EXPECT_EQ(after.executed.error().Errno(), ESRCH) << after.executed.error().Message();
}

TEST(EnterFails, WhenFrozen) {
  TenantFixture fixture;
  ASSERT_TRUE(fixture.LaunchAndStart());
  ASSERT_TRUE(fixture.cgroup().Freeze(true));
  const RunResult frozen = fixture.Run({"/probe", "nothing"});
  ASSERT_FALSE(frozen.executed);
  EXPECT_EQ(frozen.executed.error().Errno(), ETIMEDOUT) << frozen.executed.error().Message();
  ASSERT_TRUE(fixture.cgroup().Freeze(false));
  EXPECT_EQ(fixture.Try("nothing"), 0);
}

}  // namespace
}  // namespace bailey::supervisor
