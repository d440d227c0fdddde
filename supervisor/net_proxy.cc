#include "supervisor/net_proxy.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>

#include <utility>

#include "base/files.h"
#include "base/log.h"
#include "base/message.h"
#include "supervisor/fd_arguments.h"
#include "supervisor/proxy_sockets.h"

namespace bailey::supervisor {
namespace {

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
  for (const auto& [port, fd] : published_.sockets())
    fds.AddNamed("--adopt-fd", "listener:" + port.ToString(), fd.get());
  if (published_.shared_listener() >= 0) {
    fds.AddNamed("--adopt-fd", "shared.listener", published_.shared_listener());
    fds.AddNamed("--adopt-fd", "shared.ports", setup_.published.fd());
  }
  options.args.insert(options.args.end(),
                      {"--uid", std::to_string(setup_.config.uid_base + kProxyId)});
  if (suspended_) options.args.insert(options.args.end(), {"--suspended", "1"});
  link_ = std::move(pair->ours);
  BAILEY_TRY(loop_.Watch(link_.get(), EPOLLIN, [this](uint32_t) { OnMessage(); }));
  spawned_at_ = EventLoop::Clock::now();
  process_ = std::make_unique<ServerProcess>(loop_);
  Status started =
      process_->Start(setup_.cgroup, options,
                      [this, process = process_.get()](int status) { OnEnd(process, status); });
  if (!started)
    CloseLink();
  else
    GiveTlsLink();
  return started;
}

void NetProxy::OnMessage() {
  auto message = ReceiveMessage(link_.get());
  if (!message) {
    if (message.error().Errno() == EAGAIN) return;
    if (message.error().Errno() == EPIPE) return OnHangUp();
  }
  Status served = message ? Status() : Status(message.error());
  if (served) {
    const auto parsed = ParseProxyMessage(message->text, message->fds.size());
    served = parsed ? Serve(*parsed, std::move(message->fds)) : Status(parsed.error());
  }
  if (!served) End(served.error().Message());
}

// It has closed the link, and is about to end: until then nothing more comes.
void NetProxy::OnHangUp() {
  CloseLink();
  own_end_ = loop_.After(kAwaitOwnEnd, [this] { End("it has closed its link and lives on"); });
}

void NetProxy::End(const std::string& why) {
  if (!process_ || !process_->running()) return;
  process_->Kill();
  OnDeath("is ended: " + why);
}

Status NetProxy::Serve(const ProxyMessage& message, std::vector<UniqueFd> fds) {
  if (const auto* keep = std::get_if<KeepRequest>(&message)) return Keep(*keep, std::move(fds));
  if (const auto* wanted = std::get_if<ListenerRequest>(&message))
    return GiveListener(wanted->port);
  if (const auto* inside = std::get_if<InsideRequest>(&message))
    return GiveInsideSockets(inside->count);
  if (const auto* dropped = std::get_if<UnlistenRequest>(&message))
    return AfterClosing(published_.Close(dropped->port));
  if (std::holds_alternative<DrainedReport>(message))
    OnDrained();
  else
    OnReady();
  return {};
}

Status NetProxy::Keep(const KeepRequest& request, std::vector<UniqueFd> fds) {
  // It holds the tenant's BPF in place: a proxy that serves may put nothing else there.
  if (was_ready_) return Errno("keep descriptors of a proxy that serves", EPERM);
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
  // Whoever wrote a list of ports has given them to the tenant, whoever's the address is.
  const auto place = published_.Open(port, setup_.own_address || setup_.config.publish.has_value());
  if (!place) {
    LogWarning("publish: " + place.error().Message());
    return refuse(place.error().Errno());
  }
  return SendMessage(link_.get(), head + (place->shared ? R"(0,"shared":true})" : "0}"),
                     {place->fd});
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
  drain_deadline_ = loop_.After(kMayTakeToDrain, [this] { End("it does not make way"); });
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
  loop_.Cancel(std::exchange(own_end_, 0));
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
  const std::string message = R"({"op":"config","network":)" + network_ + "}";
  // What they have begun goes on within the same limits. One that cannot be told is ended.
  std::erase_if(draining_, [&message](const Draining& each) {
    return !SendMessage(each.link.get(), message);
  });
  if (!link_) return {};  // between two proxies: the next one reads it
  return SendMessage(link_.get(), message);
}

void NetProxy::SetSuspended(bool suspended) {
  if (suspended == std::exchange(suspended_, suspended) || !link_) return;
  const char* const message = suspended ? R"({"op":"suspended"})" : R"({"op":"resumed"})";
  if (const Status told = SendMessage(link_.get(), message); !told) End(told.error().Message());
}

void NetProxy::GiveTlsLink() {
  if (!link_) return;
  const UniqueFd tls = setup_.connect_tls();
  if (!tls) return;
  if (const Status sent = SendMessage(link_.get(), R"({"op":"tls"})", {tls.get()}); !sent)
    End(sent.error().Message());
}

void NetProxy::CloseUnpublished() {
  const Status closed = AfterClosing(published_.Close(
      [this](PublishedPort port) { return !MayPublish(setup_.config.publish, port); }));
  if (!closed) End(closed.error().Message());
}

// The proxy has them as well, whatever it says. If one cannot be silenced, those who may hold it
// must not live on: earlier proxies are ended here, the one that runs by our caller.
Status NetProxy::AfterClosing(const Status& closed) {
  if (!closed) draining_.clear();
  return closed;
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
  loop_.Cancel(own_end_);
  draining_.clear();
  // Before the proxy: what arrives from now on is refused, not queued for nobody.
  published_.Clear();
  CloseLink();
  if (process_ && !process_->Await(kAwaitOwnEnd)) process_->Kill();
  guard_.reset();
  kept_.clear();
  netns_.Reset();
}

}  // namespace bailey::supervisor
