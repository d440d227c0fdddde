// SupervisorLink: the proxy's side of the control socket. docs/DESIGN.md, "bailey-supervisor →
// bailey-netproxy", has the messages. Runs on the loop's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/event_loop.h"
#include "base/message.h"
#include "base/publish_rule.h"
#include "base/result.h"
#include "netproxy/kept_fds.h"

namespace bailey::netproxy {

// What the supervisor gives for a port; or why not.
struct PublishedSocket {
  int error = 0;
  UniqueFd fd;
  bool shared = false;  // `fd` is the listener that many ports share
};

class SupervisorLink {
 public:
  struct Handlers {
    std::function<void(PublishedPort port, PublishedSocket answer)> on_listener;
    std::function<void(std::vector<UniqueFd> sockets)> on_inside;
    std::function<void(std::string_view message)> on_config;
    std::function<void(UniqueFd link)> on_tls;         // to a bailey-tls
    std::function<void(bool suspended)> on_suspended;  // the tenant stands still, or goes on
    // There were no descriptors left for some answer's.
    std::function<void()> on_lost;
    std::function<void()> on_drain;  // another proxy takes over: no new work from now on
    std::function<void()> on_gone;   // the supervisor has ended, and so must the proxy
  };

  explicit SupervisorLink(UniqueFd socket) : socket_(std::move(socket)) {}

  Status Serve(EventLoop& loop, Handlers handlers);

  Status Keep(const KeptFds& fds);
  void Ready() { Send(R"({"op":"ready"})"); }
  void Drained() { Send(R"({"op":"drained"})"); }
  void AskForListener(PublishedPort port);
  void GiveUpListener(PublishedPort port);
  void AskForSockets(size_t count);

 private:
  void Send(const std::string& text);
  void OnReadable();
  void Dispatch(Message message);

  UniqueFd socket_;
  Handlers handlers_;
};

}  // namespace bailey::netproxy
