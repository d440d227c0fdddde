// Which operation of the core a request asks for: the table of docs/DESIGN.md's "The API". Pure.
#pragma once

#include <boost/beast/http/verb.hpp>
#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <variant>

#include "tenants/core_protocol.h"

namespace bailey::tenants {

// What is served where: everything on api.sock, only the metrics page over TCP.
enum class Surface { kApi, kMetrics };

enum class BodyKind { kNone, kSpec, kObject };  // kSpec: JSON or TOML; kObject: a JSON object

// How the answer reaches the client.
enum class Delivery { kItems, kLog, kUpgrade };

struct Route {
  std::string op;            // core_protocol.h
  std::string tenant;        // from the path, or empty
  boost::json::object args;  // what path and query say
  BodyKind body = BodyKind::kNone;
  Delivery delivery = Delivery::kItems;
  // tenants.logs: where to read. Negative counts from the end.
  int64_t offset = 0;
  size_t limit = 0;
};

// A request that goes no further. `allow` lists the methods that the path has, for 405.
struct Refusal {
  unsigned status = 400;
  ApiError error;
  std::string allow;
};

// `target` is the request line's, undecoded: no name and no number ever needs an escape.
std::variant<Route, Refusal> FindRoute(Surface surface, boost::beast::http::verb method,
                                       std::string_view target);

}  // namespace bailey::tenants
