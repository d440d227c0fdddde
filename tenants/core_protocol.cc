#include "tenants/core_protocol.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <array>
#include <utility>

#include "base/files.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

constexpr std::array<const char*, 8> kCodeNames = {"usage", "not_found", "exists",  "denied",
                                                   "limit", "in_use",    "timeout", "failed"};
constexpr std::array<const char*, 4> kAttachedNames = {"", "stream", "file", "text"};
// Above this a reply goes into a memfd: well below kMaxMessageBytes.
constexpr size_t kInlineBytes = size_t{32} * 1024;
constexpr size_t kLongestReply = 64 << 20;

Error Malformed(std::string what) { return Errno("message: " + std::move(what), EBADMSG); }

std::string TextAt(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_string()) return {};
  return {value->get_string().data(), value->get_string().size()};
}

Result<json::object> ParseObject(std::string_view text) {
  json::error_code failed;
  json::value value = json::parse(json::string_view(text.data(), text.size()), failed);
  if (failed || !value.is_object()) return Malformed("not a JSON object");
  return std::move(value.get_object());
}

Result<uint64_t> IdOf(const json::object& object) {
  const json::value* value = object.if_contains("id");
  if (value == nullptr) return Malformed("no id");
  json::error_code failed;
  const auto id = value->to_number<uint64_t>(failed);
  if (failed) return Malformed("id is no number");
  return id;
}

Result<CoreReply> ReplyFromJson(json::object object, std::vector<UniqueFd> fds) {
  CoreReply reply;
  auto id = IdOf(object);
  if (!id) return id.error();
  reply.id = *id;
  if (const json::value* error = object.if_contains("error"); error != nullptr) {
    if (!error->is_object()) return Malformed("error is no object");
    reply.error = ApiError::FromJson(error->get_object());
  }
  reply.kind = TextAt(object, "kind");
  if (json::value* items = object.if_contains("items"); items != nullptr && items->is_array())
    reply.items = std::move(items->get_array());
  const std::string attached = TextAt(object, "attached");
  for (size_t i = 1; i < kAttachedNames.size(); ++i)
    if (attached == kAttachedNames[i]) reply.attached = static_cast<Attached>(i);
  if (reply.attached == Attached::kNothing) return reply;
  if (fds.size() != 1) return Malformed("a reply without what it should attach");
  reply.fd = std::move(fds.front());
  return reply;
}

ApiCode CodeOf(const Error& error) {
  if (!error.code) return ApiCode::kUsage;
  switch (error.code.value()) {
    case ENOENT:
      return ApiCode::kNotFound;
    case EEXIST:
      return ApiCode::kExists;
    case EPERM:
    case EACCES:
      return ApiCode::kDenied;
    case EBUSY:
      return ApiCode::kInUse;
    case ETIMEDOUT:
      return ApiCode::kTimeout;
    case ENOSPC:
    case EDQUOT:
      return ApiCode::kLimit;
    default:
      return ApiCode::kFailed;
  }
}

}  // namespace

void throw_exception_from_error(const ApiError& error, const boost::source_location& where) {
  bailey::throw_exception_from_error(Invalid(error.message), where);
}

const char* ApiCodeName(ApiCode code) { return kCodeNames[static_cast<size_t>(code)]; }

std::optional<ApiCode> ParseApiCode(std::string_view name) {
  for (size_t i = 0; i < kCodeNames.size(); ++i)
    if (name == kCodeNames[i]) return static_cast<ApiCode>(i);
  return std::nullopt;
}

json::object ApiError::ToJson() const {
  return {{"code", ApiCodeName(code)},
          {"message", message},
          {"tenant", tenant},
          {"layer", layer},
          {"hint", hint}};
}

ApiError ApiError::FromJson(const json::object& object) {
  ApiError error;
  error.code = ParseApiCode(TextAt(object, "code")).value_or(ApiCode::kFailed);
  error.message = TextAt(object, "message");
  error.tenant = TextAt(object, "tenant");
  error.layer = TextAt(object, "layer");
  error.hint = TextAt(object, "hint");
  return error;
}

ApiError ApiError::From(const Error& error, std::string tenant, std::string layer) {
  return {CodeOf(error), error.Message(), std::move(tenant), std::move(layer), error.hint};
}

Status SendRequest(int socket, const CoreRequest& request) {
  json::object object{{"id", request.id}, {"op", request.op}, {"args", request.args}};
  if (!request.tenant.empty()) object["tenant"] = request.tenant;
  std::vector<int> fds;
  for (const UniqueFd& fd : request.fds) fds.push_back(fd.get());
  return SendMessage(socket, json::serialize(object), fds);
}

Result<CoreRequest> ReceiveRequest(int socket) {
  auto message = ReceiveMessage(socket);
  if (!message) return message.error();
  auto object = ParseObject(message->text);
  if (!object) return object.error();
  CoreRequest request;
  auto id = IdOf(*object);
  if (!id) return id.error();
  request.id = *id;
  request.op = TextAt(*object, "op");
  request.tenant = TextAt(*object, "tenant");
  if (request.op.empty()) return Malformed("no op");
  if (json::value* args = object->if_contains("args"); args != nullptr) {
    if (!args->is_object()) return Malformed("args is no object");
    request.args = std::move(args->get_object());
  }
  request.fds = std::move(message->fds);
  return request;
}

Status SendReply(int socket, const CoreReply& reply) {
  json::object object{{"id", reply.id}};
  if (reply.error) {
    object["error"] = reply.error->ToJson();
  } else if (reply.attached != Attached::kNothing) {
    object["attached"] = kAttachedNames[static_cast<size_t>(reply.attached)];
  } else {
    object["kind"] = reply.kind;
    object["items"] = reply.items;
  }
  const std::string text = json::serialize(object);
  if (reply.fd) return SendMessage(socket, text, {reply.fd.get()});
  if (text.size() <= kInlineBytes) return SendMessage(socket, text);
  auto memory = SealedText("reply", text);
  if (!memory) return memory.error();
  return SendMessage(socket, json::serialize(json::object{{"id", reply.id}, {"long", true}}),
                     {memory->get()});
}

Result<CoreReply> ReceiveReply(int socket) {
  auto message = ReceiveMessage(socket);
  if (!message) return message.error();
  auto object = ParseObject(message->text);
  if (!object) return object.error();
  if (!object->contains("long")) return ReplyFromJson(std::move(*object), std::move(message->fds));
  if (message->fds.size() != 1) return Malformed("a long reply without its memory");
  auto text = ReadAll(message->fds.front().get(), kLongestReply);
  if (!text) return text.error();
  auto whole = ParseObject(*text);
  if (!whole) return whole.error();
  return ReplyFromJson(std::move(*whole), {});
}

}  // namespace bailey::tenants
