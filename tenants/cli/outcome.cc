#include "tenants/cli/outcome.h"

#include <utility>

#include "base/log.h"

namespace bailey::tenants {

ExitCode ExitCodeOf(ApiCode code) {
  switch (code) {
    case ApiCode::kUsage:
      return ExitCode::kUsage;
    case ApiCode::kNotFound:
      return ExitCode::kNotFound;
    case ApiCode::kExists:
      return ExitCode::kExists;
    case ApiCode::kDenied:
      return ExitCode::kDenied;
    case ApiCode::kLimit:
      return ExitCode::kLimit;
    case ApiCode::kInUse:
      return ExitCode::kInUse;
    case ApiCode::kTimeout:
      return ExitCode::kTimeout;
    case ApiCode::kFailed:
      return ExitCode::kFailed;
  }
  return ExitCode::kFailed;
}

Failure Failure::From(ApiError error) {
  const ExitCode exit = ExitCodeOf(error.code);
  return {exit, std::move(error)};
}

Failure Failure::From(const Error& error) { return From(ApiError::From(error)); }

Failure Failure::Usage(std::string message, std::string hint) {
  return From(ApiError{ApiCode::kUsage, std::move(message), {}, {}, std::move(hint)});
}

void throw_exception_from_error(const Failure& failure, const boost::source_location& where) {
  LogError("value() of a failure: " + failure.error.message);
  CheckFailed(where.file_name(), static_cast<int>(where.line()), "outcome.has_value()");
}

}  // namespace bailey::tenants
