// DnsTcpClient: one TCP connection on which the tenant asks. One question at a time: the next is
// read when this one is answered, so that a client holds at most two descriptors and one message.
#pragma once

#include <functional>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "netproxy/dns_frames.h"
#include "netproxy/dns_stub.h"

namespace bailey::netproxy {

class DnsTcpClient {
 public:
  struct Host {
    EventLoop& loop;
    const DnsStubOptions& options;
    std::function<void(DnsEvent)> count;
    std::function<void(DnsTcpClient*)> remove;  // destroys the client
  };

  DnsTcpClient(Host host, UniqueFd connection);
  ~DnsTcpClient();
  DnsTcpClient(const DnsTcpClient&) = delete;
  DnsTcpClient& operator=(const DnsTcpClient&) = delete;

 private:
  // Each returns false when the connection has come to its end.
  bool OnClient(uint32_t events);
  bool OnUpstream(uint32_t events);
  bool OnTimeout();
  bool Begin(DnsBytes query);
  bool Proceed();  // sends what is due, takes the next question, watches for what can happen next

  void Run(bool (DnsTcpClient::*step)(uint32_t), uint32_t events);
  void Dial();  // the next resolver; SERVFAIL when all have been tried
  void HangUp();
  void Answer(DnsBytes answer);
  void Arm();

  Host host_;
  UniqueFd client_, upstream_;
  DnsFrames from_client_, from_upstream_;
  EventLoop::TimerId timer_ = 0;
  DnsBytes query_;  // being asked; empty: none
  uint16_t client_id_ = 0;
  size_t attempt_ = 0;
  bool ended_ = false;  // the client asks no more
};

}  // namespace bailey::netproxy
