// LineRelay: passes the lines of a pipe on to a client as a chunked body, for answers that take
// their time (docs/DESIGN.md, "The API"). The last line is the answer; if the pipe ends without
// one, the relay writes an error line itself. A client that goes away, or sends anything, cancels:
// the pipe is closed.
#pragma once

#include <array>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>

#include "base/unique_fd.h"

namespace bailey::tenants {

// The last line of a stream is an answer if it has "items" or "error".
bool IsAnswerLine(std::string_view line);

class LineRelay : public std::enable_shared_from_this<LineRelay> {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;

  // `socket` is the owner's and must outlive the relay: `done` should hold the owner. The header of
  // the answer has been sent. `done` is called once, with whether the client is still there.
  LineRelay(Socket& socket, UniqueFd pipe, std::function<void(bool client_there)> done);
  void Start();

 private:
  void WatchClient();
  void ReadPipe();
  void TakePiece(size_t length);
  void WriteChunk(const std::string& text, bool last);
  void Finish(bool client_there);

  Socket& socket_;
  boost::asio::posix::stream_descriptor pipe_;
  boost::asio::steady_timer patience_;
  std::function<void(bool)> done_;
  std::array<char, 4096> piece_{};
  std::string line_;       // what follows the last newline
  bool answered_ = false;  // the last whole line is an answer
  std::array<char, 1> from_client_{};
  std::string out_;
};

}  // namespace bailey::tenants
