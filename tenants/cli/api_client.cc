#include "tenants/cli/api_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <utility>

namespace bailey::tenants {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace json = boost::json;

constexpr uint64_t kLongestAnswer = 64 << 20;

Failure Unreachable(const std::string& path, int error) {
  Failure failure;
  failure.exit = ExitCode::kUnreachable;
  failure.error.message =
      "cannot reach the daemon: " + Errno("connect to " + path, error).Message();
  switch (error) {
    case EACCES:
    case EPERM:
      failure.error.hint = "only root may talk to it: try sudo";
      break;
    case ENOENT:
    case ECONNREFUSED:
      failure.error.hint =
          "start it with baileyd (systemctl start bailey); if it has another runtime directory, "
          "set BAILEY_RUNTIME_DIR";
      break;
    default:
      failure.error.hint = "bailey doctor tells what this host lacks";
  }
  return failure;
}

Failure Broken(const std::string& what) {
  return Failure::From(ApiError{ApiCode::kFailed,
                                "the daemon's answer broke off: " + what,
                                {},
                                {},
                                "look at the daemon's log, then try again"});
}

Failure Nonsense() {
  return Failure::From(ApiError{ApiCode::kFailed,
                                "the daemon's answer makes no sense",
                                {},
                                {},
                                "are bailey and baileyd of the same version?"});
}

std::string TextOf(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_string()) return {};
  return {value->get_string().data(), value->get_string().size()};
}

// {"items":[…]} or {"error":{…}}.
Outcome<json::array> ReadAnswer(std::string_view text) {
  json::error_code failed;
  json::value answer = json::parse(json::string_view(text.data(), text.size()), failed);
  if (failed || !answer.is_object()) return Nonsense();
  json::object& object = answer.get_object();
  if (const json::value* error = object.if_contains("error"); error && error->is_object()) {
    const json::object& body = error->get_object();
    return Failure::From(ApiError{ParseApiCode(TextOf(body, "code")).value_or(ApiCode::kFailed),
                                  TextOf(body, "message"), TextOf(body, "tenant"),
                                  TextOf(body, "layer"), TextOf(body, "hint")});
  }
  json::value* items = object.if_contains("items");
  if (items == nullptr || !items->is_array()) return Nonsense();
  return std::move(items->get_array());
}

std::string Head(const ApiRequest& request, std::string_view connection) {
  std::string head = request.method + " " + request.target + " HTTP/1.1\r\nHost: bailey\r\n";
  head += "Connection: " + std::string(connection) + "\r\n";
  if (!request.body.empty())
    head += "Content-Type: " + request.content_type +
            "\r\nContent-Length: " + std::to_string(request.body.size()) + "\r\n";
  return head;
}

Outcome<UniqueFd> Connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Unreachable(path, ENAMETOOLONG);
  std::copy(path.begin(), path.end(), address.sun_path);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket ||
      ::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return Unreachable(path, errno);
  return socket;
}

// A refused request may be answered before it was read to its end: what the daemon said counts,
// not that it stopped listening.
void Send(int socket, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(socket, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return;
    text.remove_prefix(static_cast<size_t>(sent));
  }
}

// One request and the reading of its answer.
class Call {
 public:
  static Outcome<Call> Start(const std::string& path, const std::string& bytes) {
    auto socket = Connect(path);
    if (!socket) return socket.error();
    Send(socket->get(), bytes);
    return Call(std::move(*socket));
  }
  explicit Call(UniqueFd socket)
      : io_(std::make_unique<asio::io_context>(1)),
        socket_(*io_, asio::local::stream_protocol(), socket.Release()) {}

  Outcome<http::response<http::string_body>> Whole() {
    http::response_parser<http::string_body> parser;
    parser.body_limit(kLongestAnswer);
    boost::system::error_code failed;
    http::read(socket_, buffer_, parser, failed);
    if (failed) return Broken(failed.message());
    return parser.release();
  }

  // Each line of the body, as it arrives. A broken stream is an error.
  Outcome<void> Lines(const std::function<void(std::string_view)>& line) {
    http::response_parser<http::buffer_body> parser;
    parser.body_limit(kLongestAnswer);
    boost::system::error_code failed;
    http::read_header(socket_, buffer_, parser, failed);
    std::array<char, 8192> piece;
    std::string pending;
    while (!failed && !parser.is_done()) {
      parser.get().body().data = piece.data();
      parser.get().body().size = piece.size();
      http::read_some(socket_, buffer_, parser, failed);
      if (failed == http::error::need_buffer) failed = {};
      pending.append(piece.data(), piece.size() - parser.get().body().size);
      for (size_t end = 0; (end = pending.find('\n')) != std::string::npos;) {
        line(std::string_view(pending).substr(0, end));
        pending.erase(0, end + 1);
      }
    }
    if (failed) return Broken(failed.message());
    if (!pending.empty()) line(pending);
    return {};
  }

 private:
  std::unique_ptr<asio::io_context> io_;
  asio::local::stream_protocol::socket socket_;
  boost::beast::flat_buffer buffer_;
};

Outcome<Call> StartCall(const std::string& path, const ApiRequest& request) {
  return Call::Start(path, Head(request, "close") + "\r\n" + request.body);
}

// The bytes up to the empty line, read without taking anything that follows it: the peer may have
// sent descriptors right behind, which an ordinary read would throw away.
Outcome<std::string> ReadHead(int socket) {
  constexpr std::string_view kEnd = "\r\n\r\n";
  std::array<char, 4096> seen{};
  for (;;) {
    const ssize_t got = ::recv(socket, seen.data(), seen.size(), MSG_PEEK);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Broken(Errno("").Message());
    if (got == 0) return Broken("end of stream");
    const std::string_view text(seen.data(), static_cast<size_t>(got));
    const size_t end = text.find(kEnd);
    if (end != std::string_view::npos) return std::string(text.substr(0, end + kEnd.size()));
    if (text.size() == seen.size()) return Nonsense();
    ::poll(nullptr, 0, 1);  // the rest of the head is under way
  }
}

Status TakeExactly(int socket, size_t length) {
  std::array<char, 4096> taken{};
  while (length > 0) {
    const ssize_t got = ::recv(socket, taken.data(), std::min(length, taken.size()), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Errno("receive", got == 0 ? EPIPE : errno);
    length -= static_cast<size_t>(got);
  }
  return {};
}

}  // namespace

ApiClient ApiClient::FromEnvironment() {
  const char* runtime = std::getenv("BAILEY_RUNTIME_DIR");
  return ApiClient(std::string(runtime != nullptr && *runtime != '\0' ? runtime : "/run/bailey") +
                   "/api.sock");
}

Outcome<json::array> ApiClient::Items(const ApiRequest& request) const {
  auto call = StartCall(path_, request);
  if (!call) return call.error();
  auto response = call->Whole();
  if (!response) return response.error();
  return ReadAnswer(response->body());
}

Outcome<json::array> ApiClient::Stream(const ApiRequest& request, const LineHandler& line) const {
  auto call = StartCall(path_, request);
  if (!call) return call.error();
  std::optional<Outcome<json::array>> answer;
  auto read = call->Lines([&](std::string_view text) {
    json::error_code failed;
    const json::value value = json::parse(json::string_view(text.data(), text.size()), failed);
    if (!failed && value.is_object() && value.get_object().contains("progress"))
      line(value.get_object());
    else
      answer = ReadAnswer(text);
  });
  if (answer) return std::move(*answer);
  if (!read) return read.error();
  return Nonsense();
}

Outcome<ApiClient::Piece> ApiClient::Bytes(const std::string& target) const {
  auto call = StartCall(path_, {"GET", target, {}, {}});
  if (!call) return call.error();
  auto response = call->Whole();
  if (!response) return response.error();
  if (response->result_int() != 200) {
    auto refused = ReadAnswer(response->body());
    return refused ? Nonsense() : refused.error();
  }
  const auto next = (*response)["Bailey-Next-Offset"];
  Piece piece{std::move(response->body()), 0};
  const auto [end, error] =
      std::from_chars(next.data(), next.data() + next.size(), piece.next_offset);
  if (error != std::errc()) return Nonsense();
  return piece;
}

Outcome<UniqueFd> ApiClient::Upgrade(const std::string& target, const std::string& body) const {
  auto socket = Connect(path_);
  if (!socket) return socket.error();
  Send(socket->get(),
       Head({"POST", target, body}, "Upgrade") + "Upgrade: bailey-exec\r\n\r\n" + body);
  auto head = ReadHead(socket->get());
  if (!head) return head.error();
  if (head->starts_with("HTTP/1.1 101 ")) {
    if (const Status taken = TakeExactly(socket->get(), head->size()); !taken)
      return Failure::From(taken.error());
    return std::move(*socket);
  }
  auto response = Call(std::move(*socket)).Whole();
  if (!response) return response.error();
  auto refused = ReadAnswer(response->body());
  return refused ? Nonsense() : refused.error();
}

}  // namespace bailey::tenants
