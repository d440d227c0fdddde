// One request and its answer, apart from the connection: what is asked of the core, and what the
// core's reply looks like in HTTP. No I/O but pread(2) of what the core attached.
#pragma once

#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/unique_fd.h"
#include "tenants/api/routes.h"
#include "tenants/core_protocol.h"

namespace bailey::tenants {

// The longest body of a request: a spec is a page of text.
inline constexpr size_t kMaxRequestBody = 32 << 10;

using HttpRequest = boost::beast::http::request<boost::beast::http::string_body>;

// A whole answer, or with `stream` one whose body is the lines of that pipe.
struct HttpAnswer {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  UniqueFd stream;
};

unsigned StatusOf(ApiCode code);
HttpAnswer ErrorAnswer(unsigned status, const ApiError& error);

// What the core is to be asked, and how its reply is to be delivered.
struct Question {
  CoreRequest request;
  Route route;
};

// Finds the route and reads the body by its Content-Type, or the answer that refuses it.
std::variant<Question, HttpAnswer> Ask(Surface surface, const HttpRequest& request);

// The answer that a reply makes. For Delivery::kUpgrade only refusals come here.
HttpAnswer AnswerFrom(CoreReply reply, const Route& route);

}  // namespace bailey::tenants
