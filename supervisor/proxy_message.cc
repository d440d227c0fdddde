#include "supervisor/proxy_message.h"

#include <algorithm>
#include <boost/json.hpp>

namespace bailey::supervisor {
namespace {

namespace json = boost::json;

bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == ':' || c == '-';
  });
}

Error Refuse(const char* why) { return Invalid(std::string("message of the proxy: ") + why); }

Result<uint64_t> Number(const json::object& message, const char* key, uint64_t most) {
  const json::value* value = message.if_contains(key);
  json::error_code failed;
  const auto number = value != nullptr ? value->to_number<uint64_t>(failed) : 0;
  if (value == nullptr || failed || number == 0 || number > most) return Refuse(key);
  return number;
}

Result<PublishedPort> Port(const json::object& message) {
  const json::value* value = message.if_contains("port");
  if (value == nullptr || !value->is_string()) return Refuse("port");
  auto port = PublishedPort::Parse(std::string_view(value->get_string()));
  if (!port) return Refuse("port");
  return port;
}

Result<ProxyMessage> ParseKeep(const json::object& message, size_t fds) {
  const json::value* names = message.if_contains("names");
  if (names == nullptr || !names->is_array() || names->get_array().size() != fds || fds == 0)
    return Refuse("names do not match the descriptors");
  KeepRequest keep;
  for (const json::value& name : names->get_array()) {
    if (!name.is_string() || !IsName(name.get_string())) return Refuse("a bad name");
    keep.names.emplace_back(name.get_string());
  }
  return keep;
}

}  // namespace

Result<ProxyMessage> ParseProxyMessage(std::string_view text, size_t fds) {
  json::error_code failed;
  const json::value value = json::parse(json::string_view(text.data(), text.size()), failed);
  if (failed || !value.is_object()) return Refuse("not a JSON object");
  const json::object& message = value.get_object();
  const json::value* op = message.if_contains("op");
  if (op == nullptr || !op->is_string()) return Refuse("no op");
  const std::string_view name = op->get_string();
  if (name == "keep") return ParseKeep(message, fds);
  if (fds != 0) return Refuse("descriptors that nobody asked for");
  if (name == "ready") return ReadyReport{};
  if (name == "drained") return DrainedReport{};
  if (name == "listener" || name == "unlisten") {
    const auto port = Port(message);
    if (!port) return port.error();
    if (name == "listener") return ListenerRequest{*port};
    return UnlistenRequest{*port};
  }
  if (name == "inside") {
    const auto count = Number(message, "count", kMaxInsideSockets);
    if (!count) return count.error();
    return InsideRequest{static_cast<size_t>(*count)};
  }
  return Refuse("an unknown op");
}

}  // namespace bailey::supervisor
