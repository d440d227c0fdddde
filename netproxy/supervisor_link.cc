#include "netproxy/supervisor_link.h"

#include <boost/json.hpp>
#include <utility>

#include "base/log.h"

namespace bailey::netproxy {
namespace {

namespace json = boost::json;

// The integer at `key`, or `otherwise`. The supervisor is trusted, its messages are not wrong.
int64_t Integer(const json::object& object, std::string_view key, int64_t otherwise) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_int64() ? value->as_int64() : otherwise;
}

PublishedPort Port(const json::object& object) {
  const json::value* value = object.if_contains("port");
  if (value == nullptr || !value->is_string()) return {};
  const auto port = PublishedPort::Parse(std::string_view(value->get_string()));
  return port ? *port : PublishedPort();
}

}  // namespace

Status SupervisorLink::Serve(EventLoop& loop, Handlers handlers) {
  handlers_ = std::move(handlers);
  return loop.Watch(socket_.get(), EPOLLIN, [this](uint32_t) { OnReadable(); });
}

Status SupervisorLink::Keep(const KeptFds& fds) {
  json::array names;
  std::vector<int> numbers;
  for (const auto& [name, fd] : fds.all()) {
    names.emplace_back(name);
    numbers.push_back(fd.get());
  }
  return SendMessage(socket_.get(),
                     json::serialize(json::object{{"op", "keep"}, {"names", std::move(names)}}),
                     numbers);
}

void SupervisorLink::AskForListener(PublishedPort port) {
  Send(json::serialize(json::object{{"op", "listener"}, {"port", port.ToString()}}));
}

void SupervisorLink::GiveUpListener(PublishedPort port) {
  Send(json::serialize(json::object{{"op", "unlisten"}, {"port", port.ToString()}}));
}

void SupervisorLink::AskForSockets(size_t count) {
  Send(json::serialize(json::object{{"op", "inside"}, {"count", count}}));
}

void SupervisorLink::Send(const std::string& text) {
  // A supervisor that is gone shows on the reading side.
  if (const Status sent = SendMessage(socket_.get(), text); !sent)
    LogWarning(sent.error().Message());
}

void SupervisorLink::OnReadable() {
  auto message = ReceiveMessage(socket_.get());
  if (message) return Dispatch(std::move(*message));
  if (message.error().Errno() == EMSGSIZE) {
    LogWarning(message.error().Message());
    return handlers_.on_lost();
  }
  LogInfo("the supervisor is gone: " + message.error().Message());
  handlers_.on_gone();
}

void SupervisorLink::Dispatch(Message message) {
  boost::system::error_code error;
  const json::value parsed = json::parse(message.text, error);
  if (error || !parsed.is_object()) return LogError("not a message: " + message.text);
  const json::object& object = parsed.as_object();
  const json::value* op = object.if_contains("op");
  const std::string_view name =
      op != nullptr && op->is_string() ? std::string_view(op->as_string()) : "";
  if (name == "listener") {
    PublishedSocket answer{
        static_cast<int>(Integer(object, "errno", 0)), {}, object.contains("shared")};
    if (!message.fds.empty()) answer.fd = std::move(message.fds.front());
    handlers_.on_listener(Port(object), std::move(answer));
  } else if (name == "inside") {
    handlers_.on_inside(std::move(message.fds));
  } else if (name == "tls" && message.fds.size() == 1) {
    handlers_.on_tls(std::move(message.fds.front()));
  } else if (name == "suspended" || name == "resumed") {
    handlers_.on_suspended(name == "suspended");
  } else if (name == "drain") {
    handlers_.on_drain();
  } else if (name == "config") {
    handlers_.on_config(message.text);
  } else {
    LogWarning("unknown message from the supervisor: " + message.text);
  }
}

}  // namespace bailey::netproxy
