#include "tests/ns/netproxy_supervisor.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <csignal>
#include <utility>

#include "base/files.h"
#include "supervisor/proxy_sockets.h"
#include "tests/support/await.h"
#include "tests/support/require.h"

namespace bailey::netproxy {
namespace {

UniqueFd SealedText(const std::string& text) {
  UniqueFd memory(::memfd_create("config", MFD_CLOEXEC));
  Require(WriteAll(memory.get(), text));
  ::lseek(memory.get(), 0, SEEK_SET);
  return memory;
}

}  // namespace

PlayedSupervisor::~PlayedSupervisor() { Kill(); }

void PlayedSupervisor::Start() {
  auto pair = MakeMessagePair();
  Require(pair.has_value(), "socketpair");
  const UniqueFd config = SealedText(FormatProxyConfig(setup_.config));
  ChildOptions options;
  options.argv = {ProgramDirectory() + "/bailey-netproxy"};
  int next = 10;
  const auto pass = [&](const std::string& argument, const std::string& prefix, int fd) {
    options.fds.emplace_back(fd, next);
    options.argv.insert(options.argv.end(), {argument, prefix + std::to_string(next++)});
  };
  pass("--control-fd", "", pair->theirs.get());
  pass("--config-fd", "", config.get());
  pass("--counters-fd", "", setup_.counters);
  pass("--netns-fd", "", setup_.tenant_netns);
  pass("--cgroup-fd", "", setup_.cgroup);
  options.argv.insert(options.argv.end(), {"--uid", std::to_string(kProxyUid)});
  for (const auto& [name, fd] : kept_) pass("--adopt-fd", name + "=", fd.get());
  for (const auto& [port, fd] : listeners_)
    pass("--adopt-fd", "listener:" + port.ToString() + "=", fd.get());
  options.into_cgroup = setup_.servers;
  auto child = SpawnChild(options);
  Require(child.has_value(), "bailey-netproxy");
  proxy_ = std::move(*child);
  link_ = std::move(pair->ours);
  pair->theirs.Reset();
  ready_ = gone_ = drained_ = false;
  supervisor_ = std::thread([this] { Serve(); });
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::seconds(20), [this] { return ready_ || gone_; });
  int status = 0;
  if (!ready_) ::waitpid(proxy_.pid, &status, 0);
  Require(ready_, "the proxy does not become ready, status " + std::to_string(status));
}

void PlayedSupervisor::Replace() {
  Require(SendMessage(link_.get(), R"({"op":"drain"})"));
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(20), [this] { return drained_ || gone_; });
    Require(drained_, "the proxy does not drain");
  }
  supervisor_.join();
  replaced_.emplace_back(std::move(proxy_), std::move(link_));
  Start();
}

bool PlayedSupervisor::ReplacedEnd() {
  for (const auto& [proxy, link] : replaced_) {
    const pid_t pid = proxy.pid;
    if (!Await([pid] { return ::waitpid(pid, nullptr, WNOHANG) == pid; })) return false;
  }
  replaced_.clear();
  return true;
}

void PlayedSupervisor::Kill() {
  for (const auto& [proxy, link] : std::exchange(replaced_, {})) {
    ::kill(proxy.pid, SIGKILL);
    ::waitpid(proxy.pid, nullptr, 0);
  }
  if (proxy_.pid <= 0) return;
  ::kill(proxy_.pid, SIGKILL);
  ::waitpid(proxy_.pid, nullptr, 0);
  proxy_ = {};
  supervisor_.join();
}

void PlayedSupervisor::Send(std::string_view message) {
  Require(SendMessage(link_.get(), std::string(message)));
}

void PlayedSupervisor::HangUp() { ::shutdown(link_.get(), SHUT_RDWR); }

bool PlayedSupervisor::IsAlive() const { return ::waitpid(proxy_.pid, nullptr, WNOHANG) == 0; }

bool PlayedSupervisor::IsPublished(uint16_t port, Transport transport) {
  const std::lock_guard lock(mutex_);
  return listeners_.contains({transport, port});
}

void PlayedSupervisor::Serve() {
  for (;;) {
    auto message = ReceiveMessage(link_.get());
    if (!message) break;
    OnMessage(std::move(*message));
    if (drained_) return;  // a supervisor listens to it no more
  }
  const std::lock_guard lock(mutex_);
  gone_ = true;
  changed_.notify_all();
}

void PlayedSupervisor::OnMessage(Message message) {
  const boost::json::object object = boost::json::parse(message.text).as_object();
  const std::string op(object.at("op").as_string());
  const std::lock_guard lock(mutex_);
  if (op == "keep") {
    for (size_t i = 0; i < message.fds.size(); ++i)
      kept_[std::string(object.at("names").as_array()[i].as_string())] = std::move(message.fds[i]);
  } else if (op == "ready") {
    ready_ = true;
    changed_.notify_all();
  } else if (op == "drained") {
    drained_ = true;
    changed_.notify_all();
  } else if (op == "listener") {
    ++listeners_asked_;
    GiveListener(*PublishedPort::Parse(object.at("port").as_string()));
  } else if (op == "unlisten") {
    listeners_.erase(*PublishedPort::Parse(object.at("port").as_string()));
  } else if (op == "inside") {
    GiveInsideSockets(object.at("count").to_number<size_t>());
  }
}

// The listener belongs to the servers' group, as a supervisor's does: the guard sees its packets.
void PlayedSupervisor::GiveListener(PublishedPort port) {
  Require(SendMessage(setup_.published_sockets, port.ToString()));
  auto made = ReceiveMessage(setup_.published_sockets);
  Require(made.has_value(), "a published socket");
  const std::string reply =
      R"({"op":"listener","port":")" + port.ToString() + R"(","errno":)" + made->text + "}";
  // The proxy may have been killed since it asked.
  if (made->fds.empty()) return static_cast<void>(SendMessage(link_.get(), reply));
  SendMessage(link_.get(), reply, {made->fds[0].get()});
  listeners_[port] = std::move(made->fds[0]);
}

void PlayedSupervisor::GiveInsideSockets(size_t count) {
  const auto sockets =
      supervisor::MakeInsideSockets(setup_.tenant_netns, setup_.config.ip.family(), count);
  Require(sockets.has_value(), "sockets inside");
  std::vector<int> numbers;
  for (const UniqueFd& socket : *sockets) numbers.push_back(socket.get());
  SendMessage(link_.get(), R"({"op":"inside"})", numbers);
}

}  // namespace bailey::netproxy
