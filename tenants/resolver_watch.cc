#include "tenants/resolver_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <set>
#include <utility>

#include "base/log.h"

namespace bailey::tenants {
namespace {

// A file may be written in several steps, and the directory may be a busy one.
constexpr std::chrono::milliseconds kSettle{100};
constexpr uint32_t kEvents = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE;

}  // namespace

Result<std::unique_ptr<ResolverWatch>> ResolverWatch::Start(EventLoop& loop,
                                                            const std::vector<std::string>& files,
                                                            std::function<HostResolver()> read,
                                                            std::function<void()> changed) {
  std::unique_ptr<ResolverWatch> watch(new ResolverWatch(loop));
  watch->inotify_.Reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!watch->inotify_) return Errno("inotify_init1");
  watch->files_ = files;
  BAILEY_TRY(watch->WatchDirectories());
  watch->read_ = std::move(read);
  watch->changed_ = std::move(changed);
  watch->held_ = watch->read_();
  BAILEY_TRY(loop.Watch(watch->inotify_.get(), EPOLLIN,
                        [self = watch.get()](uint32_t) { self->OnEvents(); }));
  return watch;
}

// Again after each event: links may lead elsewhere by now. What is watched already stays so.
Status ResolverWatch::WatchDirectories() {
  std::set<std::string> directories;
  for (const std::string& file : files_) {
    const std::filesystem::path path(file);
    directories.insert(path.parent_path());
    std::error_code failed;
    const auto real = std::filesystem::canonical(path, failed);
    if (!failed) directories.insert(real.parent_path());
  }
  for (const std::string& directory : directories)
    if (::inotify_add_watch(inotify_.get(), directory.c_str(), kEvents) < 0 && errno != ENOENT)
      return Errno("watch " + directory);
  return {};
}

Result<std::unique_ptr<ResolverWatch>> ResolverWatch::Start(EventLoop& loop,
                                                            std::function<void()> changed) {
  return Start(loop, {"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"}, ReadHostResolver,
               std::move(changed));
}

ResolverWatch::~ResolverWatch() {
  if (inotify_) loop_.Unwatch(inotify_.get());
  loop_.Cancel(look_);
}

void ResolverWatch::OnEvents() {
  std::array<char, 4096> events{};
  while (::read(inotify_.get(), events.data(), events.size()) > 0) {
  }
  if (look_ == 0) look_ = loop_.After(kSettle, [this] { Look(); });
}

void ResolverWatch::Look() {
  look_ = 0;
  if (const Status watched = WatchDirectories(); !watched) LogWarning(watched.error().Message());
  HostResolver now = read_();
  // In the middle of being replaced: whoever asks meanwhile is better off with the old ones.
  if (now.servers.empty() || (now.servers == held_.servers && now.search == held_.search)) return;
  held_ = std::move(now);
  LogInfo("the host's resolvers have changed");
  changed_();
}

}  // namespace bailey::tenants
