#include "tenants/api/listener.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "base/log.h"

namespace bailey::tenants {

namespace asio = boost::asio;

Result<std::shared_ptr<Listener>> Listener::Create(asio::io_context& io, UniqueFd socket,
                                                   CoreClient& core, ListenerOptions options) {
  int listens = 0;
  socklen_t length = sizeof listens;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) != 0)
    return Errno("the listening socket");
  if (listens == 0) return Errno("the listening socket", EINVAL);
  std::shared_ptr<Listener> made(new Listener(io, std::move(socket), core, options));
  boost::system::error_code failed;
  made->socket_.native_non_blocking(true, failed);
  if (failed) return Errno("the listening socket", failed.value());
  return made;
}

Listener::Listener(asio::io_context& io, UniqueFd socket, CoreClient& core, ListenerOptions options)
    : io_(io), socket_(io, socket.Release()), pause_(io), core_(core), options_(options) {}

void Listener::Accept() {
  if (waiting_ || connections_ >= options_.max_connections) return;
  waiting_ = true;
  socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [self = shared_from_this()](boost::system::error_code failed) {
                       self->waiting_ = false;
                       if (!failed) self->AcceptOne();
                     });
}

void Listener::AcceptOne() {
  UniqueFd client(
      ::accept4(socket_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (client) {
    int family = AF_UNIX;
    socklen_t length = sizeof family;
    ::getsockopt(client.get(), SOL_SOCKET, SO_DOMAIN, &family, &length);
    HttpSession::Socket socket(io_, asio::generic::stream_protocol(family, 0), client.Release());
    std::make_shared<HttpSession>(std::move(socket), options_.surface, core_, options_.timeouts,
                                  TakePlace())
        ->Start();
    return Accept();
  }
  if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR) return Accept();
  // Out of descriptors or memory: the client stays in the queue, and would wake us at once.
  LogError("accept: " + Errno("").Message());
  pause_.expires_after(std::chrono::milliseconds(200));
  pause_.async_wait([self = shared_from_this()](boost::system::error_code) { self->Accept(); });
}

std::shared_ptr<void> Listener::TakePlace() {
  ++connections_;
  return {nullptr, [self = shared_from_this()](void*) {
            --self->connections_;
            self->Accept();
          }};
}

}  // namespace bailey::tenants
