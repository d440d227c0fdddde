#include "tenants/supervisor_client.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <utility>

#include "base/message.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

#ifndef SO_PEERPIDFD
constexpr int SO_PEERPIDFD = 77;  // Linux 6.5; not in glibc 2.36's headers
#endif

// As base's ConnectTo, but a supervisor that hangs, with its queue full, must not hang us (EAGAIN).
Result<UniqueFd> Connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Errno("socket path " + path, ENAMETOOLONG);
  std::copy(path.begin(), path.end(), address.sun_path);
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return Errno("socket");
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return Errno("connect " + path);
  return socket;
}

Result<UniqueFd> PeerPidfd(int socket) {
  int pidfd = -1;
  socklen_t length = sizeof pidfd;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) != 0)
    return Errno("SO_PEERPIDFD");
  return UniqueFd(pidfd);
}

std::string TextAt(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_string()) return {};
  return {value->get_string().data(), value->get_string().size()};
}

}  // namespace

ApiError SupervisorErrorOf(const json::object& reply, const std::string& tenant) {
  int number = EIO;
  if (const json::value* value = reply.if_contains("errno"); value != nullptr) {
    json::error_code failed;
    const int given = value->to_number<int>(failed);
    if (!failed) number = given;
  }
  ApiError error = ApiError::From(Errno("", number), tenant, TextAt(reply, "stage"));
  error.message = TextAt(reply, "error");
  if (error.message.empty()) error.message = "the supervisor gave no reason";
  error.hint = TextAt(reply, "hint");
  return error;
}

ApiError SupervisorClient::Unreachable(const Error& error) const {
  return {ApiCode::kFailed, "the supervisor does not answer: " + error.Message(), tenant_,
          "supervisor", "bailey stop " + tenant_ + " clears what is left of it"};
}

void SupervisorClient::Ask(const json::object& request, const std::vector<int>& fds,
                           std::chrono::milliseconds patience, Handler handler) {
  const uint64_t id = next_id_++;
  Question question;
  question.handler = std::move(handler);
  auto begin = [&]() -> Status {
    auto socket = Connect(path_);
    if (!socket) return socket.error();
    auto pidfd = PeerPidfd(socket->get());
    if (!pidfd) return pidfd.error();
    question.pidfd = std::move(*pidfd);
    question.socket = std::move(*socket);
    return SendMessage(question.socket.get(), json::serialize(request), fds);
  };
  if (const Status begun = begin(); !begun) {
    question.socket.Reset();
    question.timer =
        loop_.After({}, [this, id, error = Unreachable(begun.error())] { Finish(id, error); });
    questions_.emplace(id, std::move(question));
    return;
  }
  Begin(id, std::move(question), patience);
}

void SupervisorClient::Begin(uint64_t id, Question question, std::chrono::milliseconds patience) {
  const int socket = question.socket.get();
  const auto watched = loop_.Watch(socket, EPOLLIN, [this, id](uint32_t) { OnReply(id); });
  if (!watched)
    question.timer =
        loop_.After({}, [this, id, error = Unreachable(watched.error())] { Finish(id, error); });
  else if (patience.count() > 0)
    question.timer = loop_.After(patience, [this, id] {
      Finish(id, ApiError{ApiCode::kTimeout, "the supervisor did not answer in time", tenant_,
                          "supervisor", ""});
    });
  questions_.emplace(id, std::move(question));
}

void SupervisorClient::OnReply(uint64_t id) {
  Question& question = questions_.at(id);
  auto message = ReceiveMessage(question.socket.get());
  if (!message && message.error().code == std::errc::resource_unavailable_try_again) return;
  if (!message) return Finish(id, Unreachable(message.error()));
  json::error_code failed;
  json::value value = json::parse(message->text, failed);
  if (failed || !value.is_object())
    return Finish(id, Unreachable(Errno("its answer is no JSON object", EPROTO)));
  SupervisorAnswer answer{std::move(value.get_object()), std::move(message->fds),
                          std::move(question.pidfd)};
  const json::value* ok = answer.body.if_contains("ok");
  if (ok == nullptr || !ok->is_bool() || !ok->get_bool())
    return Finish(id, SupervisorErrorOf(answer.body, tenant_));
  Finish(id, std::move(answer));
}

void SupervisorClient::Finish(uint64_t id, ApiResult<SupervisorAnswer> answer) {
  auto node = questions_.extract(id);
  if (node.empty()) return;
  Question& question = node.mapped();
  loop_.Cancel(question.timer);
  if (question.socket) loop_.Unwatch(question.socket.get());
  question.socket.Reset();
  question.handler(std::move(answer));
}

void SupervisorClient::Forget() {
  for (auto& [id, question] : questions_) {
    loop_.Cancel(question.timer);
    if (question.socket) loop_.Unwatch(question.socket.get());
  }
  questions_.clear();
}

void SupervisorClient::Abandon() {
  auto questions = std::exchange(questions_, {});
  for (auto& [id, question] : questions) {
    loop_.Cancel(question.timer);
    if (question.socket) loop_.Unwatch(question.socket.get());
  }
  for (auto& [id, question] : questions)
    question.handler(ApiError{ApiCode::kFailed, "the tenant has ended meanwhile", tenant_, "", ""});
}

}  // namespace bailey::tenants
