#include "tests/support/tenant_fixture.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <array>
#include <cstdlib>
#include <filesystem>

#include "base/files.h"
#include "base/log.h"
#include "base/syscalls.h"
#include "supervisor/kept_capabilities.h"
#include "supervisor/tenant_pipe.h"

namespace bailey::supervisor {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

std::string Bin(const std::string& name) {
  const char* directory = std::getenv("BAILEY_BIN");
  return std::string(directory != nullptr ? directory : "build/dev/bin") + "/" + name;
}

TenantPipe MakePipe() {
  auto pipe = MakeTenantPipe(kTestUidBase);
  EXPECT_TRUE(pipe);
  return std::move(*pipe);
}

void WriteFile(const std::string& path, std::string_view text, mode_t mode) {
  const auto file = OpenPath(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
  ASSERT_TRUE(file);
  ASSERT_TRUE(WriteAll(file->get(), text));
}

void FillRoot(const std::string& root) {
  for (const char* name : {"", "/etc", "/home", "/home/web", "/root"})
    fs::create_directory(root + name);
  fs::copy_file(Bin("wall_probe"), root + "/probe");
  WriteFile(root + "/etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33:web:/home/web:/probe\n", 0644);
  WriteFile(root + "/etc/group", "root:x:0:\nweb:x:33:\nadm:x:4:web\nlogs:x:7:root,web\n", 0644);
}

}  // namespace

TenantFixture::TenantFixture(Allow allowed)
    : allow(allowed), counters_(new CounterPage<SupervisorCounter>()) {
  SetLogLevel(LogLevel::kWarning);
  char place[] = "/var/tmp/bailey-test-XXXXXX";
  directory_ = ::mkdtemp(place);
  ::chmod(directory_.c_str(), 0755);
  root_ = directory_ + "/root";
  FillRoot(root_);
  config.name = "t";
  config.hostname = "t.example";
  config.uid_base = kTestUidBase;
  config.ip = *IpAddress::Parse("203.0.113.7");
  static int count = 0;
  config.cgroup = "bailey-test-" + std::to_string(::getpid()) + "/t" + std::to_string(count++);
  config.resolv_conf = "nameserver 192.0.2.53\n";
  config.limits.memory_bytes = 64 << 20;
  StartJanitor();
  MakeGroup();
  auto filter = CompileTenantFilter(allow);
  EXPECT_TRUE(filter) << filter.error().Message();
  filter_.emplace(std::move(*filter));
  loop_.emplace(std::move(*EventLoop::Create()));
  auto console = MakePipe();
  console_read_ = std::move(console.read);
  console_write_ = std::move(console.write);
  tree_ = std::move(*OpenPath(root_, O_PATH | O_DIRECTORY));
  upper_ = std::move(*OpenPath(root_, O_RDONLY | O_DIRECTORY));
  auto program = LoadInitProgram(Bin("bailey-init"));
  EXPECT_TRUE(program) << program.error().Message();
  init_program_ = std::move(*program);
}

void TenantFixture::StartJanitor() {
  auto pipe = MakePipe();
  std::fflush(nullptr);
  janitor_ = ::fork();
  if (janitor_ != 0) {
    alive_ = std::move(pipe.write);
    return;
  }
  pipe.write.Reset();
  char byte = 0;
  [[maybe_unused]] const ssize_t n = ::read(pipe.read.get(), &byte, 1);
  const TenantCgroup cgroup = TenantCgroup::Existing(*CgroupHost::Detect(), config.cgroup);
  [[maybe_unused]] const Status killed = cgroup.KillTenant();
  [[maybe_unused]] const Status empty = cgroup.AwaitTenantEmpty(milliseconds(5000));
  const Status removed = cgroup.Remove();
  std::error_code failed;
  fs::remove_all(directory_, failed);
  ::_exit(removed && !failed ? 0 : 1);
}

void TenantFixture::MakeGroup() {
  auto host = CgroupHost::Detect();
  ASSERT_TRUE(host);
  auto cgroup = TenantCgroup::Create(*host, config.cgroup);
  ASSERT_TRUE(cgroup) << cgroup.error().Message();
  cgroup_.emplace(std::move(*cgroup));
  host_.emplace(std::move(*host));
  sysinfo_.emplace(*host_, config, std::chrono::nanoseconds(0));
}

TenantFixture::~TenantFixture() {
  if (tenant_) {
    EXPECT_TRUE(Stop());
  }
  alive_.Reset();
  int status = 0;
  EXPECT_EQ(::waitpid(janitor_, &status, 0), janitor_);
  EXPECT_EQ(status, 0) << "the janitor could not remove the tenant's groups or directory";
}

LaunchRequest TenantFixture::Request() const {
  return {config,
          allow,
          *cgroup_,
          *filter_,
          tree_.get(),
          console_write_.get(),
          init_program_.get(),
          upper_.get()};
}

Status TenantFixture::Launch() {
  auto launched = LaunchTenant(Request());
  if (!launched) return launched.error();
  tenant_.emplace(std::move(*launched));
  return {};
}

void TenantFixture::Watch(UniqueFd listener) {
  const DenialContext context{&*loop_,         counters_.get(),           &*filter_, allow,
                              config.uid_base, tenant_->init_pidfd.get(), &*sysinfo_};
  auto started = DenialListener::Start(context, std::move(listener), [] {});
  ASSERT_TRUE(started) << started.error().Message();
  listeners_.push_back(std::move(*started));
}

Status TenantFixture::Open() {
  auto listener = OpenGate(*tenant_);
  if (!listener) return listener.error();
  Watch(std::move(*listener));
  return {};
}

Status TenantFixture::LaunchAndStart(const std::vector<std::string>& argv) {
  BAILEY_TRY(Launch());
  BAILEY_TRY(Open());
  BAILEY_TRY(SendStart(tenant_->control.get(), argv, {}));
  const auto started = ReceiveInitMessage(tenant_->control.get());
  if (!started) return started.error();
  if (started->type != InitMessageType::kStarted) return Errno("start", started->error);
  return {};
}

Status TenantFixture::Stop() {
  // Whatever was entered and is still there would keep init from ending: it is ours to reap.
  BAILEY_TRY(cgroup_->KillTenant());
  for (pid_t pid = 0; pid != tenant_->init_pid && pid >= 0;) pid = ::waitpid(-1, nullptr, 0);
  tenant_.reset();
  listeners_.clear();
  BAILEY_TRY(cgroup_->Remove());
  MakeGroup();
  return {};
}

Result<EnteredProcess> TenantFixture::Enter(std::vector<std::string> argv, EnterRequest request) {
  request.argv = std::move(argv);
  request.filter = &*filter_;
  request.capabilities = KeptCapabilityMask(allow);
  return EnterTenant(*tenant_, *cgroup_, request);
}

RunResult TenantFixture::Run(std::vector<std::string> argv, EnterRequest request) {
  RunResult result;
  auto output = MakePipe();
  const auto null = OpenPath("/dev/null", O_RDWR);
  if (!request.terminal) {
    request.input = null->get();
    request.output = request.error = output.write.get();
  }
  auto entered = Enter(std::move(argv), request);
  output.write.Reset();
  if (!entered) {
    result.executed = entered.error();
    return result;
  }
  Watch(std::move(entered->seccomp_listener));
  const int from = request.terminal ? entered->terminal.get() : output.read.get();
  // Until the process has ended and has left nothing to read.
  for (bool ended = false, drained = false; !ended || !drained;) {
    loop_->RunOnce(milliseconds(1));
    std::array<pollfd, 2> wait = {{{from, POLLIN, 0}, {entered->pidfd.get(), POLLIN, 0}}};
    ::poll(wait.data(), wait.size(), 5);
    std::array<char, 4096> buffer;
    if (wait[0].revents != 0) {
      const ssize_t got = ::read(from, buffer.data(), buffer.size());
      if (got <= 0) drained = true;
      if (got > 0) result.output.append(buffer.data(), static_cast<size_t>(got));
    }
    if (!ended && wait[1].revents != 0)
      ended = ::waitpid(entered->pid, &result.status, 0) == entered->pid;
  }
  result.executed = ReadEnterReport(entered->report.get());
  return result;
}

int TenantFixture::Try(const std::string& attempt) {
  const RunResult result = Run({"/probe", attempt});
  if (!result.executed || !WIFEXITED(result.status) || WEXITSTATUS(result.status) != 0) {
    ADD_FAILURE() << attempt << ": status " << result.status << ", " << result.output
                  << (result.executed ? "" : result.executed.error().Message());
    return -1;
  }
  return std::atoi(result.output.c_str());
}

std::string TenantFixture::ReadConsole() {
  std::array<char, 4096> buffer;
  pollfd wait{console_read_.get(), POLLIN, 0};
  if (::poll(&wait, 1, 2000) != 1) return {};
  const ssize_t got = ::read(console_read_.get(), buffer.data(), buffer.size());
  return got <= 0 ? std::string() : std::string(buffer.data(), static_cast<size_t>(got));
}

}  // namespace bailey::supervisor
