// CoreClient: the API child's end of the socket pair to the core (core_protocol.h). Requests go out
// in order, replies are matched by id. One thread, never blocks.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <deque>
#include <functional>
#include <unordered_map>

#include "base/result.h"
#include "tenants/core_protocol.h"

namespace bailey::tenants {

class CoreClient {
 public:
  using Handler = std::function<void(CoreReply reply)>;

  // `lost` is called once when the core has gone or talks nonsense: the process is to end then.
  static Result<std::unique_ptr<CoreClient>> Create(boost::asio::io_context& io, UniqueFd socket,
                                                    std::function<void(Error)> lost);

  // Sets the request's id. `handler` is called later, exactly once unless the core is lost; never
  // from within Send. A request that is too long for a message is answered with kUsage.
  void Send(CoreRequest request, Handler handler);

 private:
  CoreClient(boost::asio::io_context& io, UniqueFd socket, std::function<void(Error)> lost);
  void Flush();
  void AwaitReplies();
  void TakeReplies();
  void Refuse(uint64_t id, const Error& error);
  void Lose(Error error);

  boost::asio::posix::stream_descriptor socket_;
  std::function<void(Error)> lost_;
  uint64_t next_id_ = 1;
  bool awaiting_room_ = false;
  std::deque<CoreRequest> unsent_;
  std::unordered_map<uint64_t, Handler> waiting_;
};

}  // namespace bailey::tenants
