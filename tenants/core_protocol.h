// How the API child talks to the core: requests and replies over one SEQPACKET socket pair
// (base/message.h). The child parses what strangers sent (HTTP, JSON, TOML) without privileges; the
// core trusts none of its messages: every field is validated again, and no path comes from it
// (but a tar's, which the template builder opens).
//
//   request  {"id":N,"op":"tenants.start","tenant":"acme","args":{…}}            (+ descriptors)
//   reply    {"id":N,"kind":"Tenant","items":[…]}
//            {"id":N,"error":{"code","message","tenant","layer","hint"}}
//            {"id":N,"attached":"stream"|"file"|"text"}                          + 1 descriptor
//
// Replies come in any order; each request gets exactly one. `id` is the child's, never reused while
// its reply is due. A reply too long for a message travels in a sealed memfd: SendReply() and
// ReceiveReply() hide that.
//
// | op                 | args                                    | reply                          |
// |--------------------|-----------------------------------------|--------------------------------|
// | tenants.list       |                                         | kind Tenant, all of them       |
// | tenants.show       |                                         | kind Tenant, one               |
// | tenants.fs         |                                         | kind FileSystem, one           |
// | tenants.create     | {"spec":{…}}: spec_json.h's form        | kind Tenant, one               |
// | tenants.start      |                                         | kind Tenant, once it runs      |
// | tenants.stop       |                                         | kind Tenant, once it is gone   |
// | tenants.restart    | {"server":"net"}, optional: only its    | kind Tenant, once it runs      |
// |                    | proxy, without a refused connection     |                                |
// | tenants.suspend    |                                         | kind Tenant, once all stand    |
// | tenants.resume     |                                         | kind Tenant                    |
// | tenants.remove     | {"force":bool}                          | kind Tenant, as it was         |
// | tenants.set        | {"limits.memory":"1G",…}; null unsets   | kind Tenant, one               |
// | tenants.exec.check | the body of POST …/exec                 | kind Exec, no items: answer    |
// |                    |                                         | 101 and send tenants.exec      |
// | tenants.exec       | the same, + 1 fd: the client's          | kind Exec, no items; whatever  |
// |                    | connection, of which the child keeps    | goes wrong now is said on that |
// |                    | nothing                                 | connection as a session line   |
// | tenants.logs       |                                         | attached "file": console.log,  |
// |                    |                                         | read-only, for pread(2)        |
// | templates.list     |                                         | kind Template                  |
// | templates.create   | a TemplateRequest                       | attached "stream": lines to    |
// |                    | (templates/template_builder.h)          | pass on until end of file; to  |
// |                    |                                         | cancel, close it               |
// | templates.remove   | {"name":T}                              | kind Template, as it was       |
// | events.list        | {"tenant":N,"limit":K}, both optional   | kind Event, the newest last    |
// | doctor             |                                         | kind Check                     |
// | metrics            |                                         | attached "text": the page      |
//
// The child is `bailey-api --core-fd N --api-fd N [--metrics-fd N]`: its end of the socket pair,
// the listening api.sock and the listening TCP socket of the metrics page. It starts as root, with
// stderr for its log, drops everything by itself before it accepts, and ends when the core does
// (end of file on core-fd). The core starts another when it dies.
//
// "doctor" is answered with what `bailey doctor -o json` says, run by the core.
//
// An Event: {"id","time","tenant","kind","text"}; time is RFC 3339 in UTC.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/message.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey::tenants {

// The codes of docs/DESIGN.md's "The API"; HTTP status and exit codes follow them.
enum class ApiCode { kUsage, kNotFound, kExists, kDenied, kLimit, kInUse, kTimeout, kFailed };
const char* ApiCodeName(ApiCode code);  // "usage", "not_found", …
std::optional<ApiCode> ParseApiCode(std::string_view name);

struct ApiError {
  ApiCode code = ApiCode::kFailed;
  std::string message;  // what failed and why
  std::string tenant;   // or empty
  std::string layer;    // the stage or wall that failed: "spec", "net", "fs", …; or empty
  std::string hint;     // the next thing to try, or empty
  bool operator==(const ApiError&) const = default;

  // {"code","message","tenant","layer","hint"}: the value of "error" in every answer.
  boost::json::object ToJson() const;
  static ApiError FromJson(const boost::json::object& object);
  // From a Result's error: its errno decides the code (ENOENT: not_found, EEXIST: exists, EPERM and
  // EACCES: denied, EBUSY: in_use, ETIMEDOUT: timeout, ENOSPC and EDQUOT: limit, a person's
  // mistake: usage, else failed).
  static ApiError From(const Error& error, std::string tenant = {}, std::string layer = {});
};

template <class T>
using ApiResult = boost::system::result<T, ApiError>;
using ApiStatus = ApiResult<void>;
[[noreturn]] void throw_exception_from_error(const ApiError& error,
                                             const boost::source_location& where);

struct CoreRequest {
  uint64_t id = 0;
  std::string op;
  std::string tenant;  // empty where the op has none
  boost::json::object args;
  std::vector<UniqueFd> fds;
};

enum class Attached { kNothing, kStream, kFile, kText };

struct CoreReply {
  uint64_t id = 0;
  std::optional<ApiError> error;
  std::string kind;
  boost::json::array items;
  Attached attached = Attached::kNothing;
  UniqueFd fd;  // what is attached
};

// One message each way. Errors as SendMessage and ReceiveMessage; EBADMSG for a message that is not
// what it should be (the core then ends the child; the child then ends).
Status SendRequest(int socket, const CoreRequest& request);
Result<CoreRequest> ReceiveRequest(int socket);
Status SendReply(int socket, const CoreReply& reply);
Result<CoreReply> ReceiveReply(int socket);

}  // namespace bailey::tenants
