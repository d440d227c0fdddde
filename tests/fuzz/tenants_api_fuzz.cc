// Requests of clients, and messages between the API child and the core.
#include "base/message.h"
#include "tenants/api/routes.h"
#include "tenants/core_protocol.h"
#include "tenants/exec_request.h"
#include "tenants/templates/template_builder.h"
#include "tests/fuzz/fuzz_input.h"

using bailey::FuzzInput;
using bailey::Require;
using namespace bailey::tenants;  // NOLINT(google-build-using-namespace): its parsers are meant

namespace {

namespace http = boost::beast::http;

void ReadRoute(FuzzInput& input) {
  static constexpr http::verb kVerbs[] = {http::verb::get, http::verb::post, http::verb::delete_,
                                          http::verb::patch, http::verb::put};
  const Surface surface = input.Below(4) == 0 ? Surface::kMetrics : Surface::kApi;
  const http::verb verb = kVerbs[input.Below(std::size(kVerbs))];
  const auto found = FindRoute(surface, verb, input.RestText());
  if (const auto* refusal = std::get_if<Refusal>(&found)) {
    Require(refusal->status >= 400 && refusal->status < 500, "a refusal is the client's mistake");
    return;
  }
  const Route& route = std::get<Route>(found);
  Require(surface == Surface::kApi || route.op == "metrics", "nothing but metrics over TCP");
  Require(route.tenant.size() <= 32 && route.tenant.find_first_of("/.") == std::string::npos,
          "a tenant's name is no path");
}

void ReadMessage(FuzzInput& input) {
  const auto pair = bailey::MakeMessagePair();
  Require(pair.has_value(), "a pair of sockets");
  const std::string text = input.RestText();
  if (text.empty() || !bailey::SendMessage(pair->ours.get(), text)) return;
  if (!bailey::SendMessage(pair->ours.get(), text)) return;
  (void)ReceiveRequest(pair->theirs.get());
  (void)ReceiveReply(pair->theirs.get());
}

void ReadBody(FuzzInput& input) {
  boost::system::error_code failed;
  const auto body = boost::json::parse(input.RestText(), failed);
  if (failed || !body.is_object()) return;
  const auto exec = ExecRequest::FromJson(body.get_object());
  if (!exec) return;
  for (const std::string& word : exec->argv)
    Require(word.find('\0') == std::string::npos, "no zero byte in a word");
  (void)exec->ToSupervisor();
}

void ReadTemplateRequest(FuzzInput& input) {
  const auto request = TemplateRequest::FromJson(input.RestText());
  if (!request) return;
  const auto again = TemplateRequest::FromJson(request->ToJson());
  Require(again.has_value(), "a request that was read can be written and read");
  for (const std::string& package : request->include)
    Require(!package.starts_with("-"), "a package is no option");
  Require(!request->suite.starts_with("-") && !request->mirror.starts_with("-"), "nor are these");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  switch (input.Below(4)) {
    case 0:
      ReadRoute(input);
      break;
    case 1:
      ReadMessage(input);
      break;
    case 2:
      ReadBody(input);
      break;
    default:
      ReadTemplateRequest(input);
  }
  return 0;
}
