#include "supervisor/net_proxy.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>

#include <utility>

#include "base/files.h"
#include "base/log.h"
#include "base/message.h"
#include "supervisor/fd_arguments.h"
#include "supervisor/in_cgroup.h"
#include "supervisor/proxy_sockets.h"

namespace bailey::supervisor {
namespace {

constexpr uint32_t kProxyId = 65535;  // the tenant's last id, mapped for nobody inside
constexpr std::chrono::milliseconds kAwaitOwnEnd{200}, kMayTakeToDrain{2000};
constexpr size_t kMostDraining = 4;

std::vector<int> Numbers(const std::vector<UniqueFd>& fds) {
  std::vector<int> numbers;
  numbers.reserve(fds.size());
  for (const UniqueFd& fd : fds) numbers.push_back(fd.get());
  return numbers;
}

}  // namespace

Status NetProxy::Start(UniqueFd netns, std::string network) {
  netns_ = std::move(netns);
  network_ = std::move(network);
  auto guard = SourceGuard::Attach(
      loop_, setup_.cgroup.servers_fd(), setup_.config.ip,
      [this](uint64_t n) { setup_.own.Add(SupervisorCounter::kSourceViolations, n); });
  if (!guard) return guard.error();
  guard_ = std::move(*guard);
  BAILEY_TRY(guard_->SetResolvers(ResolversIn(network_)));
  return Spawn();
}

Status NetProxy::Spawn() {
  auto pair = MakeMessagePair();
  if (!pair) return pair.error();
  const auto config = SealedText("netproxy-config", network_);
  if (!config) return config.error();
  if (::fcntl(pair->ours.get(), F_SETFL, O_NONBLOCK) != 0) return Errno("fcntl O_NONBLOCK");
  ServerProcess::Options options;
  options.path = setup_.program;
  options.namespaces = CLONE_NEWPID | CLONE_NEWIPC;
  FdArguments fds(options.fds, options.args);
  fds.Add("--control-fd", pair->theirs.get());
  fds.Add("--config-fd", config->get());
  fds.Add("--counters-fd", setup_.counters);
  fds.Add("--netns-fd", netns_.get());
  fds.Add("--cgroup-fd", setup_.cgroup.tenant_fd());
  for (const auto& [name, fd] : kept_) fds.AddNamed("--adopt-fd", name, fd.get());
  for (const auto& [port, fd] : listeners_)
    fds.AddNamed("--adopt-fd", "listener:" + port.ToString(), fd.get());
  options.args.insert(options.args.end(),
                      {"--uid", std::to_string(setup_.config.uid_base + kProxyId)});
  link_ = std::move(pair->ours);
  BAILEY_TRY(loop_.Watch(link_.get(), EPOLLIN, [this](uint32_t) { OnMessage(); }));
  spawned_at_ = EventLoop::Clock::now();
  process_ = std::make_unique<ServerProcess>(loop_);
  Status started =
      process_->Start(setup_.cgroup, options,
                      [this, process = process_.get()](int status) { OnEnd(process, status); });
  if (!started) CloseLink();
  return started;
}

void NetProxy::OnMessage() {
  auto message = ReceiveMessage(link_.get());
  if (!message) {
    if (message.error().Errno() == EAGAIN) return;
    // It has closed the link, and is about to end: until then nothing more comes.
    if (message.error().Errno() == EPIPE) return CloseLink();
  }
  Status served = message ? Status() : Status(message.error());
  if (served) {
    const auto parsed = ParseProxyMessage(message->text, message->fds.size());
    served = parsed ? Serve(*parsed, std::move(message->fds)) : Status(parsed.error());
  }
  if (served) return;
  LogWarning("bailey-netproxy is ended: " + served.error().Message());
  process_->Kill();
  OnDeath(served.error().Message());
}

Status NetProxy::Serve(const ProxyMessage& message, std::vector<UniqueFd> fds) {
  if (const auto* keep = std::get_if<KeepRequest>(&message)) return Keep(*keep, std::move(fds));
  if (const auto* wanted = std::get_if<ListenerRequest>(&message))
    return GiveListener(wanted->port);
  if (const auto* inside = std::get_if<InsideRequest>(&message))
    return GiveInsideSockets(inside->count);
  if (const auto* dropped = std::get_if<UnlistenRequest>(&message))
    listeners_.erase(dropped->port);
  else if (std::holds_alternative<DrainedReport>(message))
    OnDrained();
  else
    OnReady();
  return {};
}

Status NetProxy::Keep(const KeepRequest& request, std::vector<UniqueFd> fds) {
  for (size_t i = 0; i < fds.size(); ++i) kept_[request.names[i]] = std::move(fds[i]);
  if (kept_.size() > kMaxKeptFds) return Errno("keep descriptors", E2BIG);
  return {};
}

Status NetProxy::GiveListener(PublishedPort port) {
  const std::string head = R"({"op":"listener","port":")" + port.ToString() + R"(","errno":)";
  const auto refuse = [&](int error) {
    return SendMessage(link_.get(), head + std::to_string(error) + "}");
  };
  if (!MayPublish(setup_.config.publish, port)) return refuse(EACCES);
  if (!listeners_.contains(port)) {
    if (listeners_.size() >= kMaxPublishedPorts) return refuse(ENOSPC);
    auto made = MadeInCgroup(setup_.cgroup.servers_fd(), [&] {
      return MakePublishedSocket(setup_.config.ip, port, setup_.config.uid_base + kProxyId);
    });
    if (!made) {
      LogWarning("publish: " + made.error().Message());
      return refuse(made.error().Errno());
    }
    listeners_[port] = std::move(*made);
  }
  return SendMessage(link_.get(), head + "0}", {listeners_[port].get()});
}

Status NetProxy::GiveInsideSockets(size_t count) {
  const auto sockets = MakeInsideSockets(netns_.get(), setup_.config.ip.family(), count);
  if (!sockets) return sockets.error();
  return SendMessage(link_.get(), R"({"op":"inside"})", Numbers(*sockets));
}

Status NetProxy::Restart() {
  if (restarting_) return Errno("the proxy is being restarted", EBUSY);
  if (!was_ready_ || stopped_) return Errno("the proxy does not run yet", ESRCH);
  restarting_ = true;
  if (!link_) return {};  // it has just died: the next one comes by itself
  drain_deadline_ = loop_.After(kMayTakeToDrain, [this] {
    LogWarning("bailey-netproxy does not make way and is ended");
    process_->Kill();
    OnDeath("was ended");
  });
  return SendMessage(link_.get(), R"({"op":"drain"})");
}

void NetProxy::OnDrained() {
  if (!restarting_ || drain_deadline_ == 0) return;
  loop_.Cancel(std::exchange(drain_deadline_, 0));
  loop_.Unwatch(link_.get());
  draining_.push_back({std::move(process_), std::move(link_)});
  if (draining_.size() > kMostDraining) draining_.pop_front();  // which kills it
  setup_.own.Add(SupervisorCounter::kProxyRestarts);
  if (const Status spawned = Spawn(); !spawned) OnDeath(spawned.error().Message());
}

void NetProxy::OnEnd(const ServerProcess* process, int status) {
  if (process_.get() == process) return OnDeath(DescribeExit(status));
  std::erase_if(draining_, [process](const auto& each) { return each.process.get() == process; });
}

void NetProxy::OnReady() {
  if (std::exchange(restarting_, false)) events_.restarted();
  if (was_ready_) return;
  was_ready_ = true;
  events_.ready();
}

void NetProxy::OnDeath(const std::string& how) {
  CloseLink();
  loop_.Cancel(std::exchange(drain_deadline_, 0));
  if (stopped_) return;
  if (!was_ready_) return events_.failed(Invalid("bailey-netproxy " + how));
  const auto pause = backoff_.Next(EventLoop::Clock::now() - spawned_at_);
  LogWarning("bailey-netproxy " + how + "; starting it again");
  respawn_ = loop_.After(pause, [this] {
    respawn_ = 0;
    setup_.own.Add(SupervisorCounter::kProxyRestarts);
    if (const Status spawned = Spawn(); !spawned) OnDeath(spawned.error().Message());
  });
}

Status NetProxy::Reconfigure(std::string network) {
  network_ = std::move(network);
  if (guard_) BAILEY_TRY(guard_->SetResolvers(ResolversIn(network_)));
  if (!link_) return {};  // between two proxies: the next one reads it
  return SendMessage(link_.get(), R"({"op":"config","network":)" + network_ + "}");
}

void NetProxy::CloseUnpublished() {
  std::erase_if(listeners_, [this](const auto& each) {
    if (MayPublish(setup_.config.publish, each.first)) return false;
    Silence(each.first.transport, each.second.get());  // the proxy has it as well
    return true;
  });
}

void NetProxy::CloseLink() {
  if (!link_) return;
  loop_.Unwatch(link_.get());
  link_.Reset();
}

void NetProxy::Stop() {
  stopped_ = true;
  restarting_ = false;
  loop_.Cancel(respawn_);
  loop_.Cancel(drain_deadline_);
  draining_.clear();
  // Before the proxy: what arrives from now on is refused, not queued for nobody.
  listeners_.clear();
  CloseLink();
  if (process_ && !process_->Await(kAwaitOwnEnd)) process_->Kill();
  guard_.reset();
  kept_.clear();
  netns_.Reset();
}

}  // namespace bailey::supervisor
