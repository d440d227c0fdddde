// TlsHandover: the proxy's side of bailey-tls: hands a client over and gets it back in plain text.
// The proxy itself has neither keys nor TLS. Who comes while bailey-tls is being started waits;
// kMost do at once, for kPatience at the longest: the next one is reset. Runs on the loop's thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "netproxy/inbound_client.h"

namespace bailey::netproxy {

class TlsHandover {
 public:
  static constexpr size_t kMost = 512;
  static constexpr std::chrono::seconds kPatience{15};

  // `on_plain`: takes a client whose accepted.fd is a Unix stream socket by now.
  TlsHandover(EventLoop& loop, std::function<void(InboundClient)> on_plain)
      : loop_(loop), on_plain_(std::move(on_plain)) {}
  ~TlsHandover();
  TlsHandover(const TlsHandover&) = delete;
  TlsHandover& operator=(const TlsHandover&) = delete;

  // To a bailey-tls that has just been started, instead of what there was.
  void SetLink(UniqueFd link);
  void Offer(InboundClient client);
  bool empty() const { return waiting_.empty(); }

 private:
  struct Waiting {
    InboundClient client;  // without its socket once it has been handed over
    EventLoop::TimerId deadline;
  };
  using Place = std::map<uint64_t, Waiting>::iterator;

  void HandOver(Place place);
  void OnReply();
  void DropLink();
  InboundClient TakeOut(Place place);

  EventLoop& loop_;
  std::function<void(InboundClient)> on_plain_;
  UniqueFd link_;
  uint64_t last_id_ = 0;
  std::map<uint64_t, Waiting> waiting_;
};

}  // namespace bailey::netproxy
