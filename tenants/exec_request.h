// The body of POST …/exec, checked: what may be run inside, and the same for the supervisor.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace bailey::tenants {

struct ExecRequest {
  std::vector<std::string> argv;
  std::vector<std::string> env;  // "K=V"
  std::string cwd, user;
  bool tty = false;
  int rows = 0, cols = 0;  // 0: not said
  bool probe = false;      // run bailey-probe instead of looking argv[0] up in the tenant's root

  // Unknown keys, wrong types and zero bytes are refused; without `probe`, argv has a program.
  static Result<ExecRequest> FromJson(const boost::json::object& body);
  // The request on control.sock; a second descriptor follows if `probe`.
  boost::json::object ToSupervisor() const;
};

// {"exit":N,"error":…} and a newline: the last line of a session that never began.
std::string SessionError(int status, const std::string& message);

}  // namespace bailey::tenants
