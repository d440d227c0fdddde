// ApiChild: `bailey-api`, the process that speaks HTTP for us (core_protocol.h), and its socket
// pair. Started again when it dies; every child gets a pair of its own, so that no reply of the
// last one's can reach the next.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "tenants/child_watch.h"
#include "tenants/core_protocol.h"

namespace bailey::tenants {

class ApiChild {
 public:
  using Reply = std::function<void(CoreReply reply)>;
  using Handler = std::function<void(CoreRequest request, pid_t api_pid, Reply reply)>;

  // Listening sockets; `metrics` may be -1. Both stay the caller's.
  ApiChild(EventLoop& loop, int api, int metrics, Handler handler)
      : loop_(loop), api_(api), metrics_(metrics), handler_(std::move(handler)) {}
  ~ApiChild();
  ApiChild(const ApiChild&) = delete;
  ApiChild& operator=(const ApiChild&) = delete;

  Status Start();

 private:
  struct Line;  // to one child
  void OnLine(uint32_t events);
  void Receive();
  void Send(CoreReply reply);
  void Listen(const Line& line);
  void OnDeath(int status);
  void HangUp();

  EventLoop& loop_;
  int api_, metrics_;
  Handler handler_;
  std::unique_ptr<ChildWatch> child_;
  std::shared_ptr<Line> line_;
  EventLoop::TimerId respawn_ = 0;
};

}  // namespace bailey::tenants
