#include "tenants/api/http_session.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <utility>

#include "base/log.h"
#include "tenants/api/line_relay.h"

namespace bailey::tenants {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;

constexpr uint32_t kMaxRequestHeader = 8 * 1024;
constexpr size_t kMaxLoggedTarget = 200;

std::string DescribePeer(int socket) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return "somebody";
  return "uid " + std::to_string(peer.uid) + " pid " + std::to_string(peer.pid);
}

// What a request that could not even be read is told.
HttpAnswer UnreadableAnswer(const boost::system::error_code& failed) {
  if (failed == http::error::body_limit)
    return ErrorAnswer(413, {ApiCode::kUsage, "the body is longer than 32 KiB", {}, {}, {}});
  if (failed == http::error::header_limit || failed == http::error::buffer_overflow)
    return ErrorAnswer(431, {ApiCode::kUsage, "the header is longer than 8 KiB", {}, {}, {}});
  return ErrorAnswer(400,
                     {ApiCode::kUsage, "this is no HTTP request: " + failed.message(), {}, {}, {}});
}

}  // namespace

HttpSession::HttpSession(Socket socket, Surface surface, CoreClient& core, HttpTimeouts timeouts,
                         std::shared_ptr<void> slot)
    : socket_(std::move(socket)),
      surface_(surface),
      core_(core),
      timeouts_(timeouts),
      slot_(std::move(slot)),
      deadline_(socket_.get_executor()),
      buffer_(kMaxRequestHeader + kMaxRequestBody) {}

void HttpSession::Start() {
  if (surface_ == Surface::kApi) peer_ = DescribePeer(socket_.native_handle());
  AwaitRequest();
}

void HttpSession::SetDeadline(std::chrono::milliseconds span) {
  deadline_.expires_after(span);
  // A handler that is queued already cannot be cancelled: it must see that its time has passed.
  deadline_.async_wait(
      [self = shared_from_this(), mine = ++deadline_number_](boost::system::error_code cancelled) {
        if (!cancelled && mine == self->deadline_number_) self->Close();
      });
}

void HttpSession::ClearDeadline() {
  ++deadline_number_;
  deadline_.cancel();
}

void HttpSession::Close() {
  boost::system::error_code ignored;
  ClearDeadline();
  socket_.shutdown(asio::socket_base::shutdown_both, ignored);
  socket_.close(ignored);
}

void HttpSession::AwaitRequest() {
  if (buffer_.size() > 0) return ReadRequest();
  SetDeadline(timeouts_.idle);
  socket_.async_wait(asio::socket_base::wait_read,
                     [self = shared_from_this()](boost::system::error_code failed) {
                       if (failed) return self->Close();
                       self->ReadRequest();
                     });
}

void HttpSession::ReadRequest() {
  SetDeadline(timeouts_.request);
  parser_.emplace();
  parser_->header_limit(kMaxRequestHeader);
  parser_->body_limit(kMaxRequestBody);
  http::async_read(socket_, buffer_, *parser_,
                   [self = shared_from_this()](boost::system::error_code failed, size_t) {
                     self->OnRead(failed);
                   });
}

void HttpSession::OnRead(boost::system::error_code failed) {
  ClearDeadline();
  if (!socket_.is_open()) return;
  if (failed == http::error::end_of_stream || failed == http::error::partial_message)
    return Close();
  if (failed && failed.category() != http::make_error_code(http::error::bad_method).category())
    return Close();
  if (failed) {
    request_ = {};
    request_.keep_alive(false);
    return Write(UnreadableAnswer(failed));
  }
  request_ = parser_->release();
  Handle();
}

void HttpSession::Handle() {
  auto asked = Ask(surface_, request_);
  if (auto* refused = std::get_if<HttpAnswer>(&asked)) return Write(std::move(*refused));
  auto& question = std::get<Question>(asked);
  route_ = std::move(question.route);
  if (route_.delivery == Delivery::kUpgrade) {
    // What came along would be lost: the connection goes to another process.
    if (buffer_.size() > 0)
      return Write(ErrorAnswer(
          400,
          {ApiCode::kUsage, "wait for the answer before you send more", route_.tenant, {}, {}}));
    exec_args_ = question.request.args;
  }
  core_.Send(std::move(question.request),
             [self = shared_from_this()](CoreReply reply) { self->Deliver(std::move(reply)); });
}

void HttpSession::Deliver(CoreReply reply) {
  if (!socket_.is_open()) return;
  if (route_.delivery == Delivery::kUpgrade && !reply.error) return Upgrade();
  HttpAnswer answer = AnswerFrom(std::move(reply), route_);
  if (answer.stream) return WriteStreamHead(std::move(answer));
  Write(std::move(answer));
}

void HttpSession::Write(HttpAnswer answer) {
  LogRequest(answer.status);
  response_ = {};
  response_.result(answer.status);
  response_.version(11);
  response_.set(http::field::content_type, answer.content_type);
  for (const auto& [name, value] : answer.headers) response_.set(name, value);
  response_.keep_alive(request_.keep_alive());
  response_.body() = std::move(answer.body);
  response_.prepare_payload();
  SetDeadline(timeouts_.answer);
  http::async_write(socket_, response_,
                    [self = shared_from_this()](boost::system::error_code failed, size_t) {
                      self->ClearDeadline();
                      if (failed || !self->response_.keep_alive()) return self->Close();
                      self->response_ = {};
                      self->AwaitRequest();
                    });
}

void HttpSession::WriteStreamHead(HttpAnswer answer) {
  LogRequest(answer.status);
  head_ = "HTTP/1.1 200 OK\r\nContent-Type: " + answer.content_type +
          "\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
  SetDeadline(timeouts_.answer);
  asio::async_write(
      socket_, asio::buffer(head_),
      [self = shared_from_this(), pipe = std::make_shared<UniqueFd>(std::move(answer.stream))](
          boost::system::error_code failed, size_t) {
        self->ClearDeadline();
        if (failed) return self->Close();
        std::make_shared<LineRelay>(self->socket_, std::move(*pipe), [self](bool) {
          self->Close();
        })->Start();
      });
}

void HttpSession::Upgrade() {
  LogRequest(101);
  head_ = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: bailey-exec\r\n\r\n";
  SetDeadline(timeouts_.answer);
  asio::async_write(socket_, asio::buffer(head_),
                    [self = shared_from_this()](boost::system::error_code failed, size_t) {
                      self->ClearDeadline();
                      if (failed) return self->Close();
                      self->HandOver();
                    });
}

// Nothing of the connection stays here. The core says on it whatever goes wrong from now on.
void HttpSession::HandOver() {
  boost::system::error_code failed;
  UniqueFd connection(socket_.release(failed));
  if (failed || !connection) return Close();
  // Asio's O_NONBLOCK belongs to the open file, not to our descriptor.
  const int flags = ::fcntl(connection.get(), F_GETFL);
  if (flags >= 0) ::fcntl(connection.get(), F_SETFL, flags & ~O_NONBLOCK);
  CoreRequest request;
  request.op = "tenants.exec";
  request.tenant = route_.tenant;
  request.args = std::move(exec_args_);
  request.fds.push_back(std::move(connection));
  core_.Send(std::move(request), [](const CoreReply&) {});
}

void HttpSession::LogRequest(unsigned status) const {
  if (surface_ == Surface::kMetrics) return;
  const bool looks = request_.method() == http::verb::get && status < 400;
  const auto target = request_.target().substr(0, kMaxLoggedTarget);
  const auto method = request_.method_string();
  Log(looks ? LogLevel::kDebug : LogLevel::kInfo,
      peer_ + ": " + std::string(method.data(), method.size()) + " " +
          std::string(target.data(), target.size()) + " " + std::to_string(status));
}

}  // namespace bailey::tenants
