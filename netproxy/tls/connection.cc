#include "netproxy/tls/connection.h"

#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "netproxy/tcp_options.h"

namespace bailey::netproxy {
namespace {

constexpr size_t kRecordBytes = SSL3_RT_MAX_PLAIN_LENGTH;
constexpr int kStepsPerTurn = 16;  // then other connections have theirs

// Whether the other end has been closed, not only ended: then nothing can be written to it. epoll
// may say so later than recv(2) says that there is no more.
bool IsPlainClosed(int fd) { return ::send(fd, nullptr, 0, MSG_NOSIGNAL | MSG_DONTWAIT) < 0; }

}  // namespace

TlsConnection::TlsConnection(UniqueFd client, std::shared_ptr<const TlsPort> port)
    : client_(std::move(client)), port_(std::move(port)), ssl_(port_->MakeServer()) {
  SetRelayOptions(client_.get());
  if (ssl_ == nullptr || SSL_set_fd(ssl_.get(), client_.get()) != 1) return;
  SSL_set_accept_state(ssl_.get());
}

TlsConnection::~TlsConnection() { ERR_clear_error(); }

TlsConnection::State TlsConnection::OnEvents(Side side, uint32_t events) {
  const bool readable = (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  const bool writable = (events & (EPOLLOUT | EPOLLERR)) != 0;
  if (side == Side::kClient) {
    client_readable_ = client_readable_ || readable;
    client_writable_ = client_writable_ || writable;
  } else {
    plain_readable_ = plain_readable_ || readable;
    plain_writable_ = plain_writable_ || writable;
  }
  return IsOpen() ? Pump() : Handshake();
}

TlsConnection::State TlsConnection::Handshake() {
  if (ssl_ == nullptr) return State::kClosed;
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) return State::kOpen;
  const int error = SSL_get_error(ssl_.get(), result);
  ERR_clear_error();
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return State::kHandshake;
  return State::kClosed;
}

TlsConnection::State TlsConnection::Open(UniqueFd plain) {
  plain_ = std::move(plain);
  return Pump();
}

TlsConnection::State TlsConnection::Pump() {
  bool more = false;
  for (const auto pump : {&TlsConnection::PumpIn, &TlsConnection::PumpOut}) {
    Step step = Step::kGoOn;
    for (int i = 0; i < kStepsPerTurn && step == Step::kGoOn; ++i) step = (this->*pump)();
    if (step == Step::kAborted) return Abort();
    more = more || step == Step::kGoOn;
  }
  if (in_.passed && out_.passed) return State::kClosed;
  return more ? State::kMoreToDo : State::kOpen;
}

TlsConnection::State TlsConnection::Abort() {
  ResetOnClose(client_.get());
  return State::kClosed;
}

// From the client into the plain text.
TlsConnection::Step TlsConnection::PumpIn() {
  if (in_.passed) return Step::kBlocked;
  if (in_.pending.empty() && !in_.ended) return ReadRecord();
  if (in_.pending.empty()) {
    in_.passed = true;
    ::shutdown(plain_.get(), SHUT_WR);
    return Step::kBlocked;
  }
  if (!plain_writable_) return Step::kBlocked;
  const ssize_t sent =
      ::send(plain_.get(), in_.pending.data(), in_.pending.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && errno == EINTR) return Step::kGoOn;
  if (sent < 0 && errno != EAGAIN) return Step::kAborted;
  if (sent < 0) plain_writable_ = false;
  if (sent > 0) in_.pending.erase(0, static_cast<size_t>(sent));
  if (in_.pending.empty()) in_.pending = {};  // an idle connection holds no buffer
  return sent < 0 ? Step::kBlocked : Step::kGoOn;
}

TlsConnection::Step TlsConnection::ReadRecord() {
  if (!client_readable_ && SSL_pending(ssl_.get()) == 0) return Step::kBlocked;
  std::array<char, kRecordBytes> bytes;
  ERR_clear_error();
  const int got = SSL_read(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
  if (got > 0) {
    in_.pending.assign(bytes.data(), static_cast<size_t>(got));
    return Step::kGoOn;
  }
  if (SSL_get_error(ssl_.get(), got) == SSL_ERROR_ZERO_RETURN) {
    in_.ended = true;
    return Step::kGoOn;
  }
  return Blocked(got);
}

// From the plain text to the client.
TlsConnection::Step TlsConnection::PumpOut() {
  if (out_.passed) return Step::kBlocked;
  if (!out_.pending.empty()) return WriteRecord();
  if (out_.ended) return PassEndOut();
  if (!plain_readable_) return Step::kBlocked;
  std::array<char, kRecordBytes> bytes;
  const ssize_t got = ::recv(plain_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (got > 0) {
    out_.pending.assign(bytes.data(), static_cast<size_t>(got));
    return Step::kGoOn;
  }
  if (got < 0 && errno == EINTR) return Step::kGoOn;
  if (got < 0 && errno == EAGAIN) {
    plain_readable_ = false;
    return Step::kBlocked;
  }
  // The proxy closes both ways at once only once we have ended ours, or when something was aborted.
  if (got < 0 || (!in_.passed && IsPlainClosed(plain_.get()))) return Step::kAborted;
  out_.ended = true;
  return Step::kGoOn;
}

TlsConnection::Step TlsConnection::WriteRecord() {
  if (!client_writable_) return Step::kBlocked;
  ERR_clear_error();
  const int sent =
      SSL_write(ssl_.get(), out_.pending.data(), static_cast<int>(out_.pending.size()));
  if (sent <= 0) return Blocked(sent);
  out_.pending.erase(0, static_cast<size_t>(sent));
  if (out_.pending.empty()) out_.pending = {};
  return Step::kGoOn;
}

TlsConnection::Step TlsConnection::PassEndOut() {
  if (!client_writable_) return Step::kBlocked;
  ERR_clear_error();
  const int result = SSL_shutdown(ssl_.get());
  if (result < 0) return Blocked(result);
  out_.passed = true;
  ::shutdown(client_.get(), SHUT_WR);
  return Step::kBlocked;
}

TlsConnection::Step TlsConnection::Blocked(int result) {
  const int error = SSL_get_error(ssl_.get(), result);
  ERR_clear_error();
  if (error == SSL_ERROR_WANT_READ)
    client_readable_ = false;
  else if (error == SSL_ERROR_WANT_WRITE)
    client_writable_ = false;
  else
    return Step::kAborted;
  return Step::kBlocked;
}

}  // namespace bailey::netproxy
