// TlsConnection: one client of bailey-tls: the handshake on its socket, then what it says in plain
// text on one end of a Unix stream socket, and back. Both are non-blocking and watched
// edge-triggered; one buffer of a record each way, so a slow reader stops the other side. An end
// of file passes on as such (close_notify is the client's), an abort as an abort: without
// close_notify, by a reset. Not thread-safe.
#pragma once

#include <openssl/ssl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "netproxy/tls/site.h"

namespace bailey::netproxy {

class TlsConnection {
 public:
  enum class State { kHandshake, kOpen, kMoreToDo, kClosed };
  enum class Side { kClient, kPlain };

  // `port` has sites.
  TlsConnection(UniqueFd client, std::shared_ptr<const TlsPort> port);
  ~TlsConnection();
  TlsConnection(const TlsConnection&) = delete;
  TlsConnection& operator=(const TlsConnection&) = delete;

  // What epoll has told of one side. kOpen or kMoreToDo for the first time: the handshake is done,
  // and Open() must come next.
  State OnEvents(Side side, uint32_t events);
  // Takes our end of the plain text.
  State Open(UniqueFd plain);
  State Continue() { return Pump(); }

  int client() const { return client_.get(); }
  int plain() const { return plain_.get(); }
  bool IsOpen() const { return static_cast<bool>(plain_); }
  bool IsResumed() const { return SSL_session_reused(ssl_.get()) == 1; }

 private:
  struct Free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  enum class Step { kGoOn, kBlocked, kAborted };
  struct Flow {
    std::string pending;  // read and not yet taken by the other side
    bool ended = false;   // its source has said all
    bool passed = false;  // and the other side has heard so
  };

  State Handshake();
  State Pump();
  State Abort();
  Step PumpIn();
  Step PumpOut();
  Step ReadRecord();
  Step WriteRecord();
  Step PassEndOut();
  Step Blocked(int result);

  UniqueFd client_, plain_;
  std::shared_ptr<const TlsPort> port_;
  std::unique_ptr<SSL, Free> ssl_;
  Flow in_, out_;  // from the client, and to it
  bool client_readable_ = true, client_writable_ = true;
  bool plain_readable_ = true, plain_writable_ = true;
};

}  // namespace bailey::netproxy
