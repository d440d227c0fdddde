// Listener: accepts connections from a listening socket that the core made, at most so many at
// once: while all places are taken, further clients wait in the kernel's queue.
#pragma once

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>

#include "base/result.h"
#include "base/unique_fd.h"
#include "tenants/api/core_client.h"
#include "tenants/api/http_session.h"

namespace bailey::tenants {

struct ListenerOptions {
  Surface surface = Surface::kApi;
  size_t max_connections = 128;
  HttpTimeouts timeouts;
};

class Listener : public std::enable_shared_from_this<Listener> {
 public:
  // `socket` listens: Unix or TCP.
  static Result<std::shared_ptr<Listener>> Create(boost::asio::io_context& io, UniqueFd socket,
                                                  CoreClient& core, ListenerOptions options);
  void Start() { Accept(); }

 private:
  Listener(boost::asio::io_context& io, UniqueFd socket, CoreClient& core, ListenerOptions options);
  void Accept();
  void AcceptOne();
  std::shared_ptr<void> TakePlace();

  boost::asio::io_context& io_;
  boost::asio::posix::stream_descriptor socket_;
  boost::asio::steady_timer pause_;
  CoreClient& core_;
  ListenerOptions options_;
  size_t connections_ = 0;
  bool waiting_ = false;
};

}  // namespace bailey::tenants
