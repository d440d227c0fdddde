// SuspendedPage: receives clients from outside while the tenant stands still. Whoever begins with a
// request of HTTP is told 503 and let go; whoever begins otherwise, or says nothing for kPatience,
// goes on into the tenant's namespace and waits there, as TCP does, for the tenant to go on. So an
// HTTP port is one where somebody speaks HTTP: no list of ports could know that. There are kMost
// here at once; the oldest makes way. Runs on the loop's thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>

#include "base/event_loop.h"
#include "netproxy/inbound_client.h"

namespace bailey::netproxy {

class SuspendedPage {
 public:
  static constexpr size_t kMost = 256;
  static constexpr std::chrono::seconds kPatience{5};   // with a client who says nothing
  static constexpr std::chrono::seconds kMayLinger{2};  // to read the answer and hang up
  static constexpr size_t kMostIgnored = 65536;         // bytes of a request that is answered

  // `let_in`: takes who is not answered here.
  SuspendedPage(EventLoop& loop, std::function<void(InboundClient)> let_in)
      : loop_(loop), let_in_(std::move(let_in)) {}
  ~SuspendedPage();
  SuspendedPage(const SuspendedPage&) = delete;
  SuspendedPage& operator=(const SuspendedPage&) = delete;

  void Receive(InboundClient client);
  // The tenant goes on: so do all who have no answer yet.
  void LetAllIn();
  bool empty() const { return visitors_.empty(); }

 private:
  struct Visitor {
    InboundClient client;
    EventLoop::TimerId deadline = 0;
    bool answered = false;
    size_t ignored = 0;  // bytes that came after the answer
  };
  using Place = std::list<Visitor>::iterator;

  void OnEvents(Place visitor);
  void Answer(Place visitor, bool with_body);
  void Ignore(Place visitor);
  void LetIn(Place visitor);
  void MakeWay(Place visitor);
  InboundClient TakeOut(Place visitor);

  EventLoop& loop_;
  std::function<void(InboundClient)> let_in_;
  std::list<Visitor> visitors_;  // the oldest first
};

}  // namespace bailey::netproxy
