#include "tenants/api/line_relay.h"

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <boost/json.hpp>
#include <cstdio>
#include <utility>

#include "tenants/core_protocol.h"

namespace bailey::tenants {
namespace {

namespace asio = boost::asio;
namespace json = boost::json;

// A client that takes nothing for so long has gone.
constexpr std::chrono::seconds kPatience{30};
constexpr size_t kLongestLine = 1 << 20;

std::string Chunk(const std::string& text) {
  std::array<char, 20> head{};
  const int length = std::snprintf(head.data(), head.size(), "%zx\r\n", text.size());
  return std::string(head.data(), static_cast<size_t>(length)) + text + "\r\n";
}

}  // namespace

bool IsAnswerLine(std::string_view line) {
  json::error_code failed;
  const json::value value = json::parse(json::string_view(line.data(), line.size()), failed);
  if (failed || !value.is_object()) return false;
  return value.get_object().contains("items") || value.get_object().contains("error");
}

LineRelay::LineRelay(Socket& socket, UniqueFd pipe, std::function<void(bool)> done)
    : socket_(socket),
      pipe_(socket.get_executor(), pipe.Release()),
      patience_(socket.get_executor()),
      done_(std::move(done)) {}

void LineRelay::Start() {
  WatchClient();
  ReadPipe();
}

void LineRelay::WatchClient() {
  socket_.async_receive(
      asio::buffer(from_client_),
      [self = shared_from_this()](boost::system::error_code, size_t) { self->Finish(false); });
}

void LineRelay::ReadPipe() {
  pipe_.async_read_some(asio::buffer(piece_), [self = shared_from_this()](
                                                  boost::system::error_code failed, size_t n) {
    if (!self->done_) return;
    if (!failed) return self->TakePiece(n);
    if (self->answered_ && self->line_.empty()) return self->WriteChunk({}, true);
    const ApiError error{ApiCode::kFailed,
                         "the work ended without an answer",
                         {},
                         {},
                         "the daemon's log may tell why"};
    self->WriteChunk(json::serialize(json::object{{"error", error.ToJson()}}) + "\n", true);
  });
}

void LineRelay::TakePiece(size_t length) {
  line_.append(piece_.data(), length);
  if (line_.size() > kLongestLine) return Finish(false);
  const size_t newline = line_.rfind('\n');
  if (newline == std::string::npos) return ReadPipe();
  const std::string whole = line_.substr(0, newline + 1);
  line_.erase(0, newline + 1);
  const size_t before = whole.size() < 2 ? std::string::npos : whole.rfind('\n', whole.size() - 2);
  answered_ = IsAnswerLine(before == std::string::npos ? whole : whole.substr(before + 1));
  WriteChunk(whole, false);
}

void LineRelay::WriteChunk(const std::string& text, bool last) {
  out_ = text.empty() ? std::string() : Chunk(text);
  if (last) out_ += "0\r\n\r\n";
  patience_.expires_after(kPatience);
  patience_.async_wait([self = shared_from_this()](boost::system::error_code cancelled) {
    if (!cancelled) self->Finish(false);
  });
  asio::async_write(socket_, asio::buffer(out_),
                    [self = shared_from_this(), last](boost::system::error_code failed, size_t) {
                      self->patience_.cancel();
                      if (failed) return self->Finish(false);
                      if (last) return self->Finish(true);
                      if (self->done_) self->ReadPipe();
                    });
}

void LineRelay::Finish(bool client_there) {
  auto done = std::exchange(done_, nullptr);
  if (!done) return;
  patience_.cancel();
  boost::system::error_code ignored;
  pipe_.close(ignored);
  socket_.cancel(ignored);
  done(client_there);
}

}  // namespace bailey::tenants
