// ApiClient: HTTP to baileyd over its Unix socket, one connection a request. Blocking.
#pragma once

#include <boost/json.hpp>
#include <functional>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "tenants/cli/outcome.h"

namespace bailey::tenants {

struct ApiRequest {
  std::string method = "GET";
  std::string target;
  std::string body;
  std::string content_type = "application/json";
};

class ApiClient {
 public:
  explicit ApiClient(std::string socket_path) : path_(std::move(socket_path)) {}
  // $BAILEY_RUNTIME_DIR/api.sock, or that of /run/bailey.
  static ApiClient FromEnvironment();

  // The items of the answer. A refusal of the daemon's comes back as its error; no daemon is
  // kUnreachable.
  Outcome<boost::json::array> Items(const ApiRequest& request) const;

  // A streamed answer: `line` sees each line but the last, which is returned as Items() does.
  using LineHandler = std::function<void(const boost::json::object& line)>;
  Outcome<boost::json::array> Stream(const ApiRequest& request, const LineHandler& line) const;

  struct Piece {
    std::string bytes;
    int64_t next_offset = 0;
  };
  // A piece of a log.
  Outcome<Piece> Bytes(const std::string& target) const;

  // POST with Upgrade: bailey-exec. The connection, from the first byte after the 101: it carries
  // descriptors from there on, so not a byte more may have been read.
  Outcome<UniqueFd> Upgrade(const std::string& target, const std::string& body) const;

 private:
  std::string path_;
};

}  // namespace bailey::tenants
