#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>

#include "base/files.h"
#include "tenants/api/exchange.h"
#include "tenants/api/line_relay.h"
#include "tenants/api/routes.h"

namespace bailey::tenants {
namespace {

namespace http = boost::beast::http;
namespace json = boost::json;

struct GoodRow {
  http::verb method;
  const char* target;
  const char* op;
  const char* tenant;
  const char* args;
};

TEST(Routes, EachLeadsToItsOperation) {
  const GoodRow rows[] = {
      {http::verb::get, "/v1/tenants", "tenants.list", "", "{}"},
      {http::verb::post, "/v1/tenants", "tenants.create", "", "{}"},
      {http::verb::get, "/v1/tenants/acme", "tenants.show", "acme", "{}"},
      {http::verb::get, "/v1/tenants/acme/fs", "tenants.fs", "acme", "{}"},
      {http::verb::delete_, "/v1/tenants/acme", "tenants.remove", "acme", "{}"},
      {http::verb::delete_, "/v1/tenants/a-1?force=1", "tenants.remove", "a-1",
       R"({"force":true})"},
      {http::verb::patch, "/v1/tenants/acme", "tenants.set", "acme", "{}"},
      {http::verb::post, "/v1/tenants/acme/start", "tenants.start", "acme", "{}"},
      {http::verb::post, "/v1/tenants/acme/stop", "tenants.stop", "acme", "{}"},
      {http::verb::post, "/v1/tenants/acme/restart", "tenants.restart", "acme", "{}"},
      {http::verb::post, "/v1/tenants/acme/exec", "tenants.exec.check", "acme", "{}"},
      {http::verb::get, "/v1/tenants/acme/logs?offset=5&limit=7", "tenants.logs", "acme", "{}"},
      {http::verb::get, "/v1/templates", "templates.list", "", "{}"},
      {http::verb::post, "/v1/templates", "templates.create", "", "{}"},
      {http::verb::delete_, "/v1/templates/debian-12.1", "templates.remove", "",
       R"({"name":"debian-12.1"})"},
      {http::verb::get, "/v1/events?tenant=acme&limit=9", "events.list", "",
       R"({"tenant":"acme","limit":9})"},
      {http::verb::get, "/v1/doctor", "doctor", "", "{}"},
      {http::verb::get, "/metrics", "metrics", "", "{}"},
  };
  for (const GoodRow& row : rows) {
    const auto found = FindRoute(Surface::kApi, row.method, row.target);
    const auto* route = std::get_if<Route>(&found);
    ASSERT_NE(route, nullptr) << row.target;
    EXPECT_EQ(route->op, row.op);
    EXPECT_EQ(route->tenant, row.tenant);
    EXPECT_EQ(json::serialize(route->args), json::serialize(json::parse(row.args)));
  }
}

TEST(Routes, ReadsWhereALogIsToBegin) {
  const auto found =
      FindRoute(Surface::kApi, http::verb::get, "/v1/tenants/a/logs?offset=-100&limit=99999999");
  const auto& route = std::get<Route>(found);
  EXPECT_EQ(route.offset, -100);
  EXPECT_EQ(route.limit, 1U << 20) << "at most one piece";
  EXPECT_EQ(route.delivery, Delivery::kLog);
}

struct BadRow {
  http::verb method;
  const char* target;
  unsigned status;
};

TEST(Routes, RefusesWhatIsNotInTheTable) {
  const BadRow rows[] = {
      {http::verb::get, "/", 404},
      {http::verb::get, "/v1", 404},
      {http::verb::get, "/v1/tenants/", 400},
      {http::verb::get, "/v1/tenants/acme/", 404},
      {http::verb::get, "/v1/tenants/acme/start/x", 404},
      {http::verb::get, "/v2/tenants", 404},
      {http::verb::get, "//v1/tenants", 404},
      {http::verb::get, "http://x/v1/tenants", 404},
      {http::verb::put, "/v1/tenants", 405},
      {http::verb::head, "/v1/tenants", 405},
      {http::verb::get, "/v1/tenants/acme/start", 405},
      {http::verb::post, "/metrics", 405},
      {http::verb::get, "/v1/tenants/Acme", 400},
      {http::verb::get, "/v1/tenants/..", 400},
      {http::verb::get, "/v1/tenants/%61cme", 400},
      {http::verb::get, "/v1/tenants/a23456789012345678901234567890123", 400},
      {http::verb::delete_, "/v1/templates/../x", 404},
      {http::verb::delete_, "/v1/templates/.hidden", 400},
      {http::verb::delete_, "/v1/tenants/acme?force=yes", 400},
      {http::verb::delete_, "/v1/tenants/acme?farce=1", 400},
      {http::verb::get, "/v1/tenants?x=1", 400},
      {http::verb::get, "/v1/tenants/a/logs?offset=x", 400},
      {http::verb::get, "/v1/tenants/a/logs?offset=1x", 400},
      {http::verb::get, "/v1/tenants/a/logs?limit=0", 400},
      {http::verb::get, "/v1/tenants/a/logs?offset=99999999999999999999", 400},
      {http::verb::get, "/v1/events?tenant=A", 400},
  };
  for (const BadRow& row : rows) {
    const auto found = FindRoute(Surface::kApi, row.method, row.target);
    const auto* refusal = std::get_if<Refusal>(&found);
    ASSERT_NE(refusal, nullptr) << row.target;
    EXPECT_EQ(refusal->status, row.status) << row.target;
    EXPECT_EQ(refusal->allow.empty(), row.status != 405) << row.target;
  }
}

TEST(Routes, OverTcpThereAreOnlyMetrics) {
  const auto metrics = FindRoute(Surface::kMetrics, http::verb::get, "/metrics");
  EXPECT_TRUE(std::holds_alternative<Route>(metrics));
  for (const char* target : {"/v1/tenants", "/v1/doctor", "/v1/tenants/acme/start"})
    for (const auto method : {http::verb::get, http::verb::post}) {
      const auto found = FindRoute(Surface::kMetrics, method, target);
      ASSERT_TRUE(std::holds_alternative<Refusal>(found)) << target;
      EXPECT_EQ(std::get<Refusal>(found).status, 404U);
    }
}

HttpRequest MakeRequest(http::verb method, const char* target, const char* body,
                        const char* type = nullptr) {
  HttpRequest request(method, target, 11);
  request.body() = body;
  if (type != nullptr) request.set(http::field::content_type, type);
  return request;
}

unsigned StatusOfRefused(const HttpRequest& request) {
  auto asked = Ask(Surface::kApi, request);
  const auto* answer = std::get_if<HttpAnswer>(&asked);
  return answer == nullptr ? 0 : answer->status;
}

TEST(Ask, ReadsASpecInBothForms) {
  const char* toml = "[tenant]\nname = \"acme\"\nip = \"203.0.113.7\"\ntemplate = \"t\"\n";
  const char* text = R"({"tenant":{"name":"acme","ip":"203.0.113.7","template":"t"}})";
  auto from_toml =
      Ask(Surface::kApi, MakeRequest(http::verb::post, "/v1/tenants", toml, "application/toml"));
  auto from_json = Ask(Surface::kApi, MakeRequest(http::verb::post, "/v1/tenants", text,
                                                  "application/json; charset=utf-8"));
  ASSERT_TRUE(std::holds_alternative<Question>(from_toml)) << std::get<HttpAnswer>(from_toml).body;
  ASSERT_TRUE(std::holds_alternative<Question>(from_json));
  EXPECT_EQ(std::get<Question>(from_toml).request.args, std::get<Question>(from_json).request.args);
}

TEST(Ask, TellsWhereATomlSpecIsWrong) {
  auto asked =
      Ask(Surface::kApi, MakeRequest(http::verb::post, "/v1/tenants",
                                     "[tenant]\nname = \"a\"\nfoo = 1\n", "application/toml"));
  const auto& answer = std::get<HttpAnswer>(asked);
  EXPECT_EQ(answer.status, 400U);
  EXPECT_NE(answer.body.find("3:1"), std::string::npos) << answer.body;
}

TEST(Ask, RefusesBodiesThatItCannotUse) {
  EXPECT_EQ(StatusOfRefused(MakeRequest(http::verb::post, "/v1/tenants", "{")), 400U);
  EXPECT_EQ(StatusOfRefused(MakeRequest(http::verb::post, "/v1/tenants", "[]")), 400U);
  EXPECT_EQ(StatusOfRefused(MakeRequest(http::verb::post, "/v1/tenants", "{}", "text/xml")), 415U);
  EXPECT_EQ(StatusOfRefused(MakeRequest(http::verb::patch, "/v1/tenants/a", "")), 400U);
  EXPECT_EQ(StatusOfRefused(MakeRequest(http::verb::get, "/v1/tenants", "x")), 400U);
  const std::string deep = std::string(5000, '[') + std::string(5000, ']');
  EXPECT_EQ(StatusOfRefused(MakeRequest(http::verb::post, "/v1/templates", deep.c_str())), 400U);
  EXPECT_EQ(
      StatusOfRefused(MakeRequest(http::verb::post, "/v1/tenants/a/exec", R"({"argv":["ls"]})")),
      426U)
      << "without Upgrade";
}

TEST(AnswerFrom, GivesEachCodeItsStatus) {
  const std::pair<ApiCode, unsigned> rows[] = {{ApiCode::kUsage, 400},   {ApiCode::kNotFound, 404},
                                               {ApiCode::kExists, 409},  {ApiCode::kDenied, 403},
                                               {ApiCode::kLimit, 507},   {ApiCode::kInUse, 409},
                                               {ApiCode::kTimeout, 504}, {ApiCode::kFailed, 500}};
  for (const auto& [code, status] : rows) {
    CoreReply reply;
    reply.error = ApiError{code, "why", "acme", "net", "do this"};
    const HttpAnswer answer = AnswerFrom(std::move(reply), Route{});
    EXPECT_EQ(answer.status, status);
    const json::value error = json::parse(answer.body).at("error");
    EXPECT_EQ(error.at("code").as_string(), ApiCodeName(code));
    EXPECT_EQ(error.at("hint").as_string(), "do this");
  }
}

CoreReply LogReply(std::string_view text) {
  CoreReply reply;
  reply.attached = Attached::kFile;
  reply.fd = std::move(*SealedText("log", text));
  return reply;
}

struct LogRow {
  int64_t offset;
  size_t limit;
  const char* bytes;
  const char* next;
};

TEST(AnswerFrom, ReadsALogInPieces) {
  const LogRow rows[] = {{0, 100, "0123456789", "10"}, {0, 4, "0123", "4"},
                         {4, 4, "4567", "8"},          {10, 4, "", "10"},
                         {-3, 9, "789", "10"},         {-99, 2, "01", "2"},
                         {11, 4, "0123", "4"},         {INT64_MIN, 1, "0", "1"},
                         {INT64_MAX, 1, "0", "1"}};
  for (const LogRow& row : rows) {
    Route route;
    route.offset = row.offset;
    route.limit = row.limit;
    const HttpAnswer answer = AnswerFrom(LogReply("0123456789"), route);
    EXPECT_EQ(answer.body, row.bytes) << row.offset;
    ASSERT_EQ(answer.headers.size(), 1U);
    EXPECT_EQ(answer.headers[0].second, row.next) << row.offset;
  }
}

TEST(IsAnswerLine, KnowsProgressFromAnswers) {
  EXPECT_TRUE(IsAnswerLine(R"({"kind":"Template","items":[]})"));
  EXPECT_TRUE(IsAnswerLine("{\"error\":{\"code\":\"failed\"}}\n"));
  EXPECT_FALSE(IsAnswerLine(R"({"progress":{"text":"items","percent":1}})"));
  EXPECT_FALSE(IsAnswerLine("items"));
  EXPECT_FALSE(IsAnswerLine("{\"items\":"));
}

}  // namespace
}  // namespace bailey::tenants
