#include "tenants/api/core_client.h"

#include <boost/asio/post.hpp>
#include <cerrno>
#include <utility>

namespace bailey::tenants {

namespace asio = boost::asio;

Result<std::unique_ptr<CoreClient>> CoreClient::Create(asio::io_context& io, UniqueFd socket,
                                                       std::function<void(Error)> lost) {
  std::unique_ptr<CoreClient> client(new CoreClient(io, std::move(socket), std::move(lost)));
  boost::system::error_code failed;
  client->socket_.native_non_blocking(true, failed);
  if (failed) return Errno("the core's socket", failed.value());
  client->AwaitReplies();
  return client;
}

CoreClient::CoreClient(asio::io_context& io, UniqueFd socket, std::function<void(Error)> lost)
    : socket_(io, socket.Release()), lost_(std::move(lost)) {}

void CoreClient::Send(CoreRequest request, Handler handler) {
  request.id = next_id_++;
  waiting_.emplace(request.id, std::move(handler));
  unsent_.push_back(std::move(request));
  if (!awaiting_room_) Flush();
}

void CoreClient::Flush() {
  while (!unsent_.empty()) {
    const Status sent = SendRequest(socket_.native_handle(), unsent_.front());
    if (sent) {
      unsent_.pop_front();
    } else if (sent.error().Errno() == EMSGSIZE) {
      Refuse(unsent_.front().id, sent.error());
      unsent_.pop_front();
    } else if (sent.error().Errno() == EAGAIN) {
      awaiting_room_ = true;
      socket_.async_wait(asio::posix::stream_descriptor::wait_write,
                         [this](boost::system::error_code failed) {
                           awaiting_room_ = false;
                           if (!failed) Flush();
                         });
      return;
    } else {
      return Lose(sent.error());
    }
  }
}

void CoreClient::AwaitReplies() {
  socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [this](boost::system::error_code failed) {
                       if (!failed) TakeReplies();
                     });
}

void CoreClient::TakeReplies() {
  for (;;) {
    auto reply = ReceiveReply(socket_.native_handle());
    if (!reply && reply.error().Errno() == EAGAIN) return AwaitReplies();
    if (!reply) return Lose(reply.error());
    auto found = waiting_.extract(reply->id);
    if (found.empty()) return Lose(Errno("a reply that nobody waits for", EBADMSG));
    found.mapped()(std::move(*reply));
  }
}

void CoreClient::Refuse(uint64_t id, const Error& error) {
  CoreReply reply;
  reply.id = id;
  reply.error =
      ApiError{ApiCode::kUsage, "the request is too long: " + error.Message(), {}, {}, {}};
  auto found = waiting_.extract(id);
  asio::post(socket_.get_executor(),
             [handler = std::move(found.mapped()),
              held = std::make_shared<CoreReply>(std::move(reply))] { handler(std::move(*held)); });
}

void CoreClient::Lose(Error error) {
  if (auto lost = std::exchange(lost_, nullptr)) lost(std::move(error));
}

}  // namespace bailey::tenants
