#include "tenants/api/exchange.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/files.h"
#include "tenants/spec_json.h"
#include "tenants/spec_toml.h"

namespace bailey::tenants {
namespace {

namespace http = boost::beast::http;
namespace json = boost::json;

// The longest page of metrics: some thousand tenants have 10 MiB.
constexpr size_t kLongestText = 64 << 20;

HttpAnswer Refuse(std::string message, std::string hint = {}) {
  return ErrorAnswer(400, {ApiCode::kUsage, std::move(message), {}, {}, std::move(hint)});
}

std::string_view ContentType(const HttpRequest& request) {
  const auto field = request[http::field::content_type];
  std::string_view type(field.data(), field.size());
  type = type.substr(0, type.find(';'));
  while (type.ends_with(' ')) type.remove_suffix(1);
  return type;
}

std::variant<json::object, HttpAnswer> ReadObject(const HttpRequest& request) {
  json::error_code failed;
  json::parse_options strict;
  strict.max_depth = 8;
  json::value value = json::parse(request.body(), failed, {}, strict);
  if (failed) return Refuse("the body is no JSON: " + failed.message());
  if (!value.is_object()) return Refuse("the body is no JSON object");
  return std::move(value.get_object());
}

// A spec in the form that the core reads: TOML is turned into JSON here, where a mistake in the
// parser costs nothing.
std::variant<json::object, HttpAnswer> ReadSpec(const HttpRequest& request) {
  const std::string_view type = ContentType(request);
  if (type == "application/toml") {
    auto spec = SpecFromToml(request.body());
    if (!spec) return ErrorAnswer(400, ApiError::From(spec.error(), {}, "spec"));
    return json::object{{"spec", SpecToJson(*spec)}};
  }
  if (!type.empty() && type != "application/json")
    return ErrorAnswer(415, {ApiCode::kUsage,
                             "a spec is not read from " + std::string(type),
                             {},
                             "spec",
                             "send application/toml or application/json"});
  auto object = ReadObject(request);
  if (auto* refused = std::get_if<HttpAnswer>(&object)) return std::move(*refused);
  return json::object{{"spec", std::move(std::get<json::object>(object))}};
}

std::variant<json::object, HttpAnswer> ReadBody(const Route& route, const HttpRequest& request) {
  switch (route.body) {
    case BodyKind::kSpec:
      return ReadSpec(request);
    case BodyKind::kObject:
      return ReadObject(request);
    case BodyKind::kNone:
      if (!request.body().empty()) return Refuse("this request takes no body");
      return route.args;
  }
  return route.args;
}

// `limit` bytes of a log from `offset`, and where to go on. A log that has become shorter than the
// offset was begun anew: from its start then.
HttpAnswer LogAnswer(int fd, int64_t offset, size_t limit) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return ErrorAnswer(500, ApiError::From(Errno("stat the log")));
  const int64_t size = info.st_size;
  if (offset < 0) offset = std::max<int64_t>(0, size + std::max(offset, -size));
  if (offset > size) offset = 0;
  HttpAnswer answer;
  answer.content_type = "application/octet-stream";
  answer.body.resize(std::min(limit, static_cast<size_t>(size - offset)));
  size_t got = 0;
  while (got < answer.body.size()) {
    const ssize_t n = ::pread(fd, answer.body.data() + got, answer.body.size() - got,
                              offset + static_cast<int64_t>(got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrorAnswer(500, ApiError::From(Errno("read the log")));
    if (n == 0) break;
    got += static_cast<size_t>(n);
  }
  answer.body.resize(got);
  answer.headers.emplace_back("Bailey-Next-Offset",
                              std::to_string(offset + static_cast<int64_t>(got)));
  return answer;
}

HttpAnswer TextAnswer(int fd) {
  auto text = ReadAll(fd, kLongestText);
  if (!text) return ErrorAnswer(500, ApiError::From(text.error()));
  HttpAnswer answer;
  answer.content_type = "text/plain; version=0.0.4; charset=utf-8";
  answer.body = std::move(*text);
  return answer;
}

}  // namespace

unsigned StatusOf(ApiCode code) {
  switch (code) {
    case ApiCode::kUsage:
      return 400;
    case ApiCode::kNotFound:
      return 404;
    case ApiCode::kExists:
    case ApiCode::kInUse:
      return 409;
    case ApiCode::kDenied:
      return 403;
    case ApiCode::kLimit:
      return 507;
    case ApiCode::kTimeout:
      return 504;
    case ApiCode::kFailed:
      return 500;
  }
  return 500;
}

HttpAnswer ErrorAnswer(unsigned status, const ApiError& error) {
  HttpAnswer answer;
  answer.status = status;
  answer.body = json::serialize(json::object{{"error", error.ToJson()}}) + "\n";
  return answer;
}

std::variant<Question, HttpAnswer> Ask(Surface surface, const HttpRequest& request) {
  const auto target = request.target();
  auto found = FindRoute(surface, request.method(), {target.data(), target.size()});
  if (const auto* refusal = std::get_if<Refusal>(&found)) {
    HttpAnswer answer = ErrorAnswer(refusal->status, refusal->error);
    if (!refusal->allow.empty()) answer.headers.emplace_back("Allow", refusal->allow);
    return answer;
  }
  Question question;
  question.route = std::move(std::get<Route>(found));
  auto args = ReadBody(question.route, request);
  if (auto* refused = std::get_if<HttpAnswer>(&args)) return std::move(*refused);
  question.request.op = question.route.op;
  question.request.tenant = question.route.tenant;
  question.request.args = std::move(std::get<json::object>(args));
  if (question.route.delivery == Delivery::kUpgrade &&
      !boost::beast::iequals(request[http::field::upgrade], "bailey-exec"))
    return ErrorAnswer(426, {ApiCode::kUsage, "this needs Upgrade: bailey-exec", {}, {}, {}});
  return question;
}

HttpAnswer AnswerFrom(CoreReply reply, const Route& route) {
  if (reply.error) return ErrorAnswer(StatusOf(reply.error->code), *reply.error);
  HttpAnswer answer;
  switch (reply.attached) {
    case Attached::kFile:
      return LogAnswer(reply.fd.get(), route.offset, route.limit);
    case Attached::kText:
      return TextAnswer(reply.fd.get());
    case Attached::kStream:
      answer.content_type = "application/x-ndjson";
      answer.stream = std::move(reply.fd);
      return answer;
    case Attached::kNothing:
      break;
  }
  answer.body =
      json::serialize(json::object{
          {"apiVersion", "bailey/v1"}, {"kind", reply.kind}, {"items", std::move(reply.items)}}) +
      "\n";
  return answer;
}

}  // namespace bailey::tenants
