#include "tenants/instance.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>

#include "base/files.h"

namespace bailey::tenants {
namespace {

constexpr int kBacklog = 128;

Result<UniqueFd> TakeLock(const Paths& paths) {
  const std::string path = paths.runtime + "/baileyd.pid";
  auto file = OpenPath(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0644);
  if (!file) return file;
  if (::flock(file->get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return Errno("lock " + path);
    const auto holder = ReadAll(file->get());
    const std::string pid = holder ? holder->substr(0, holder->find('\n')) : "unknown";
    return Errno("another baileyd runs here, process " + pid, EBUSY)
        .WithHint("BAILEY_RUNTIME_DIR and BAILEY_STATE_DIR make room for a second one");
  }
  if (::ftruncate(file->get(), 0) != 0) return Errno("truncate " + path);
  BAILEY_TRY(WriteAll(file->get(), std::to_string(::getpid()) + "\n"));
  return file;
}

Result<UniqueFd> ListenUnix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return Errno("socket path " + path, ENAMETOOLONG)
        .WithHint("choose a shorter BAILEY_RUNTIME_DIR");
  std::copy(path.begin(), path.end(), address.sun_path);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return Errno("socket");
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return Errno("unlink " + path);
  // On the socket before it has a name: no moment with a wider mode.
  if (::fchmod(socket.get(), 0600) != 0) return Errno("fchmod " + path);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return Errno("bind " + path);
  if (::chmod(path.c_str(), 0600) != 0) return Errno("chmod " + path);
  if (::listen(socket.get(), kBacklog) != 0) return Errno("listen " + path);
  return socket;
}

Result<UniqueFd> ListenTcp(const Endpoint& where) {
  const std::string name = "metrics at " + where.ToString();
  UniqueFd socket(::socket(where.address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return Errno("socket for " + name);
  const int one = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  sockaddr_storage address{};
  const socklen_t length = where.ToSockaddr(&address);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      ::listen(socket.get(), kBacklog) != 0)
    return Errno(name).WithHint("set [daemon] metrics in bailey.toml; \"\" turns them off");
  return socket;
}

}  // namespace

Result<Instance> TakeInstance(const Paths& paths, const DaemonConfig& config) {
  BAILEY_TRY(MakeDirectories(paths.state, 0700));
  BAILEY_TRY(MakeDirectories(paths.state + "/tenants", 0700));
  BAILEY_TRY(MakeDirectories(paths.runtime, 0711));
  BAILEY_TRY(MakeDirectories(paths.runtime + "/tenants", 0700));
  Instance instance;
  auto lock = TakeLock(paths);
  if (!lock) return lock.error();
  instance.lock = std::move(*lock);
  auto api = ListenUnix(paths.ApiSocket());
  if (!api) return api.error();
  instance.api = std::move(*api);
  if (!config.metrics) return instance;
  auto metrics = ListenTcp(*config.metrics);
  if (!metrics) return metrics.error();
  instance.metrics = std::move(*metrics);
  return instance;
}

}  // namespace bailey::tenants
