// SupervisorClient: asks one tenant's supervisor over its control.sock (docs/DESIGN.md, "baileyd →
// bailey-supervisor") without ever making the loop wait. Each question has a connection of its own:
// a long wait holds up nothing, and a supervisor that answers late answers nobody.
#pragma once

#include <boost/json.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "tenants/core_protocol.h"

namespace bailey::tenants {

struct SupervisorAnswer {
  boost::json::object body;
  std::vector<UniqueFd> fds;
  UniqueFd pidfd;  // of whoever listens there: the supervisor, for as long as it lives
};

// What a reply with "ok":false, or a status with an "error", says.
ApiError SupervisorErrorOf(const boost::json::object& reply, const std::string& tenant);

class SupervisorClient {
 public:
  // Errors carry the supervisor's own words, and its stage as the layer. kTimeout when `patience`
  // is over; kFailed when it has gone.
  using Handler = std::function<void(ApiResult<SupervisorAnswer> answer)>;

  SupervisorClient(EventLoop& loop, std::string tenant, std::string socket_path)
      : loop_(loop), tenant_(std::move(tenant)), path_(std::move(socket_path)) {}
  ~SupervisorClient() { Forget(); }
  SupervisorClient(const SupervisorClient&) = delete;
  SupervisorClient& operator=(const SupervisorClient&) = delete;

  // `patience` 0: for ever. `fds` stay the caller's. The handler is called from the loop, once, and
  // never from within Ask; not at all after Forget().
  void Ask(const boost::json::object& request, const std::vector<int>& fds,
           std::chrono::milliseconds patience, Handler handler);
  // Closes every connection; pending handlers are dropped.
  void Forget();
  // The same, but each of them hears that the tenant has ended.
  void Abandon();

 private:
  struct Question {
    UniqueFd socket, pidfd;
    Handler handler;
    EventLoop::TimerId timer = 0;  // 0: none
  };
  void Begin(uint64_t id, Question question, std::chrono::milliseconds patience);
  void OnReply(uint64_t id);
  void Finish(uint64_t id, ApiResult<SupervisorAnswer> answer);
  ApiError Unreachable(const Error& error) const;

  EventLoop& loop_;
  std::string tenant_, path_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, Question> questions_;
};

}  // namespace bailey::tenants
