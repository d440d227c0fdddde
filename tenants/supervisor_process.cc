#include "tenants/supervisor_process.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "base/files.h"

namespace bailey::tenants {
namespace {

// "why\nwhat to try", as bailey-supervisor says it.
ApiError ErrorFrom(int words, int status, const std::string& tenant) {
  ApiError error{ApiCode::kFailed, {}, tenant, "supervisor", {}};
  ::lseek(words, 0, SEEK_SET);
  const auto read = ReadAll(words, size_t{64} * 1024);
  std::string text = read ? *read : std::string();
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (text.empty()) text = "bailey-supervisor ended with " + DescribeStatus(status);
  const size_t newline = text.find('\n');
  error.message = text.substr(0, newline);
  if (newline != std::string::npos) error.hint = text.substr(newline + 1);
  return error;
}

}  // namespace

Result<std::unique_ptr<ChildWatch>> RunSupervisor(EventLoop& loop, SupervisorTask task,
                                                  const supervisor::TenantConfig& config,
                                                  const std::string& runtime_dir,
                                                  std::function<void(ApiStatus)> done) {
  auto memory = SealedText("tenant-config", supervisor::FormatTenantConfig(config));
  if (!memory) return memory.error();
  UniqueFd words(::memfd_create("supervisor-words", MFD_CLOEXEC));
  if (!words) return Errno("memfd_create");
  auto null = OpenPath("/dev/null", O_RDWR);
  if (!null) return null.error();
  ChildOptions options;
  options.argv = {ProgramDirectory() + "/bailey-supervisor", "--runtime", runtime_dir,
                  "--config-fd", "3"};
  if (task == SupervisorTask::kClear) options.argv.emplace_back("--clear");
  if (task == SupervisorTask::kPrepare) options.argv.emplace_back("--prepare");
  options.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  options.fds = {{null->get(), 0}, {null->get(), 1}, {words.get(), 2}, {memory->get(), 3}};
  auto child = SpawnChild(options);
  if (!child) return child.error();
  return ChildWatch::Start(
      loop, std::move(*child),
      [words = std::make_shared<UniqueFd>(std::move(words)), name = config.name,
       done = std::move(done)](int status) {
        done(status == 0 ? ApiStatus() : ApiStatus(ErrorFrom(words->get(), status, name)));
      });
}

}  // namespace bailey::tenants
