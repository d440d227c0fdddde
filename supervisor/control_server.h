// ControlServer: DIR/control.sock, at which baileyd asks for things. Any number of connections,
// each with any number of requests; those that wait do not hold up others. When a stop has been
// answered the loop is stopped too. Not thread-safe.
#pragma once

#include <map>
#include <string>

#include "base/event_loop.h"
#include "base/message.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "supervisor/control_request.h"
#include "supervisor/tenant.h"

namespace bailey::supervisor {

class ControlServer {
 public:
  ControlServer(EventLoop& loop, Tenant& tenant, std::string path)
      : loop_(loop), tenant_(tenant), path_(std::move(path)) {}
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  Status Listen();
  // Answers those who waited for this; called at each change of the tenant's state.
  void TenantChanged();
  // As a stop request that nobody waits for: SIGTERM.
  void StopForGood();

 private:
  enum class Awaited { kNothing, kRunning, kStopped, kStopReply, kSuspended, kProxy };
  struct Connection {
    UniqueFd socket;
    Awaited awaited = Awaited::kNothing;
  };

  void OnConnect();
  void OnRequest(int socket);
  void Serve(Connection& connection, Message message);
  void Wait(Connection& connection, Awaited awaited);
  void AnswerWaiter(Connection& connection);
  Status Counters(const Connection& connection);
  void Drop(int socket);

  EventLoop& loop_;
  Tenant& tenant_;
  std::string path_;
  UniqueFd listener_;
  std::map<int, Connection> connections_;
  bool stop_asked_ = false;
};

}  // namespace bailey::supervisor
