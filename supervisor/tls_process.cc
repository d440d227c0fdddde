#include "supervisor/tls_process.h"

#include <fcntl.h>
#include <sched.h>

#include <boost/json.hpp>
#include <utility>

#include "base/files.h"
#include "base/log.h"
#include "base/message.h"
#include "supervisor/fd_arguments.h"
#include "supervisor/net_proxy.h"

namespace bailey::supervisor {
namespace {

namespace json = boost::json;

// The paths come from the spec, the files are the host's: nothing but a regular file is opened for
// good, and a key that everybody may read is none.
Result<UniqueFd> OpenPem(const std::string& path, bool is_key) {
  auto file = OpenPath(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) return file;
  struct stat status {};
  if (::fstat(file->get(), &status) != 0) return Errno("stat " + path);
  if (!S_ISREG(status.st_mode)) return Invalid(path + " is no regular file");
  if (is_key && (status.st_mode & S_IRWXO) != 0)
    return Errno(path + " is open to everybody", EACCES).WithHint("chmod 600 " + path);
  return file;
}

}  // namespace

Status TlsProcess::Apply() {
  if (setup_.config.tls.empty()) {
    Stop();
    return {};
  }
  if (process_.running()) return SendSites();
  return respawn_ != 0 ? Status() : Spawn();
}

Status TlsProcess::Spawn() {
  auto pair = MakeMessagePair();
  if (!pair) return pair.error();
  if (::fcntl(pair->ours.get(), F_SETFL, O_NONBLOCK) != 0) return Errno("fcntl O_NONBLOCK");
  ServerProcess::Options options;
  options.path = setup_.program;
  options.namespaces = CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNET;
  FdArguments fds(options.fds, options.args);
  fds.Add("--control-fd", pair->theirs.get());
  fds.Add("--counters-fd", setup_.counters);
  options.args.insert(options.args.end(),
                      {"--uid", std::to_string(setup_.config.uid_base + kProxyId)});
  link_ = std::move(pair->ours);
  spawned_at_ = EventLoop::Clock::now();
  BAILEY_TRY(process_.Start(setup_.cgroup, options, [this](int status) { OnEnd(status); }));
  BAILEY_TRY(SendSites());
  started_();
  return {};
}

void TlsProcess::OnEnd(int status) { SpawnLater("bailey-tls " + DescribeExit(status)); }

void TlsProcess::SpawnLater(const std::string& why) {
  process_.Kill();
  link_.Reset();
  loop_.Cancel(std::exchange(look_, 0));
  LogWarning(why + "; starting it again");
  loop_.Cancel(respawn_);
  respawn_ = loop_.After(backoff_.Next(EventLoop::Clock::now() - spawned_at_), [this] {
    respawn_ = 0;
    if (const Status spawned = Spawn(); !spawned) SpawnLater(spawned.error().Message());
  });
}

UniqueFd TlsProcess::Connect() {
  if (!process_.running() || !link_) return {};
  auto pair = MakeMessagePair();
  if (!pair) return {};
  for (const UniqueFd* end : {&pair->ours, &pair->theirs})
    if (::fcntl(end->get(), F_SETFL, O_NONBLOCK) != 0) return {};
  if (!SendMessage(link_.get(), "proxy", {pair->theirs.get()})) return {};
  return std::move(pair->ours);
}

// A file that cannot be opened is passed on as an empty one: bailey-tls keeps what it had of it.
Status TlsProcess::SendSites() {
  stamps_ = Stamps();
  json::array sites;
  std::vector<UniqueFd> files;
  for (const TlsSite& site : setup_.config.tls) {
    sites.push_back(json::object{{"port", site.port},
                                 {"name", site.certificate},
                                 {"alpn", json::array(site.alpn.begin(), site.alpn.end())}});
    for (const std::string* path : {&site.certificate, &site.key}) {
      auto file = OpenPem(*path, path == &site.key);
      if (!file) {
        LogError(file.error().Message());
        file = OpenPath("/dev/null", O_RDONLY);
        if (!file) return file.error();
      }
      files.push_back(std::move(*file));
    }
  }
  std::vector<int> numbers;
  numbers.reserve(files.size());
  for (const UniqueFd& file : files) numbers.push_back(file.get());
  loop_.Cancel(look_);
  look_ = loop_.After(kLook, [this] { Look(); });
  return SendMessage(link_.get(), json::serialize(sites), numbers);
}

void TlsProcess::Look() {
  if (Stamps() == stamps_) {
    look_ = loop_.After(kLook, [this] { Look(); });
    return;
  }
  look_ = 0;
  LogInfo("certificates have changed");
  if (const Status sent = SendSites(); !sent) SpawnLater(sent.error().Message());
}

std::vector<TlsProcess::Stamp> TlsProcess::Stamps() const {
  std::vector<Stamp> stamps;
  for (const TlsSite& site : setup_.config.tls)
    for (const std::string* path : {&site.certificate, &site.key}) {
      struct stat status {};
      Stamp& stamp = stamps.emplace_back();
      if (::stat(path->c_str(), &status) != 0) continue;
      constexpr int64_t kSecond = 1'000'000'000;
      // The time of change, not of modification: chmod may make a key usable.
      stamp = {status.st_dev, status.st_ino, status.st_size,
               status.st_ctim.tv_sec * kSecond + status.st_ctim.tv_nsec};
    }
  return stamps;
}

void TlsProcess::Stop() {
  loop_.Cancel(std::exchange(respawn_, 0));
  loop_.Cancel(std::exchange(look_, 0));
  process_.Kill();
  link_.Reset();
}

}  // namespace bailey::supervisor
