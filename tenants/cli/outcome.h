// What a verb of the command line ends with: DESIGN.md §8's exit codes, and the error to show.
#pragma once

#include <boost/system/result.hpp>
#include <string>

#include "tenants/core_protocol.h"

namespace bailey::tenants {

// Scripts rely on these numbers. 125 to 127 belong to exec: 125 Bailey's own failure, 126 the
// command cannot be executed, 127 it does not exist.
enum class ExitCode : int {
  kDone = 0,
  kUsage = 2,
  kNotFound = 3,
  kExists = 4,
  kDenied = 5,
  kLimit = 6,
  kInUse = 7,
  kUnreachable = 8,
  kTimeout = 9,
  kFailed = 10,
  kExecFailed = 125,
};
ExitCode ExitCodeOf(ApiCode code);

struct Failure {
  ExitCode exit = ExitCode::kFailed;
  ApiError error;

  static Failure From(ApiError error);
  static Failure From(const Error& error);
  // A mistake in what the person typed.
  static Failure Usage(std::string message, std::string hint = {});
};

template <class T>
using Outcome = boost::system::result<T, Failure>;

// Asked for by boost::system::result when value() is called on a failure: a bug of the caller.
[[noreturn]] void throw_exception_from_error(const Failure& failure,
                                             const boost::source_location& where);

}  // namespace bailey::tenants
