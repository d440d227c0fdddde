// HttpSession: one client's connection, from accept to close. Requests are answered one after
// another (keep-alive); each has a deadline, so a slow client costs a slot for seconds, not for
// ever. Lives in the shared pointers of its pending operations.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <memory>
#include <optional>
#include <string>

#include "tenants/api/core_client.h"
#include "tenants/api/exchange.h"

namespace bailey::tenants {

struct HttpTimeouts {
  std::chrono::milliseconds idle{60'000};     // between two requests
  std::chrono::milliseconds request{10'000};  // from a request's first byte to its last
  std::chrono::milliseconds answer{30'000};   // to take an answer
};

class HttpSession : public std::enable_shared_from_this<HttpSession> {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;

  // `slot` is held as long as the session lives: its deleter frees the connection's place.
  HttpSession(Socket socket, Surface surface, CoreClient& core, HttpTimeouts timeouts,
              std::shared_ptr<void> slot);
  void Start();

 private:
  void AwaitRequest();
  void ReadRequest();
  void OnRead(boost::system::error_code failed);
  void Handle();
  void Deliver(CoreReply reply);
  void Write(HttpAnswer answer);
  void WriteStreamHead(HttpAnswer answer);
  void Upgrade();
  void HandOver();
  void LogRequest(unsigned status) const;
  void SetDeadline(std::chrono::milliseconds span);
  void ClearDeadline();
  void Close();

  Socket socket_;
  Surface surface_;
  CoreClient& core_;
  HttpTimeouts timeouts_;
  std::shared_ptr<void> slot_;
  std::string peer_;  // "uid 0 pid 12", for the log
  boost::asio::steady_timer deadline_;
  uint64_t deadline_number_ = 0;
  boost::beast::flat_buffer buffer_;
  std::optional<boost::beast::http::request_parser<boost::beast::http::string_body>> parser_;
  HttpRequest request_;
  Route route_;
  boost::json::object exec_args_;
  boost::beast::http::response<boost::beast::http::string_body> response_;
  std::string head_;
};

}  // namespace bailey::tenants
