// Result<T>: a value, or why the kernel, the disk, a peer or a person refused it.
//
//   Result<UniqueFd> fd = OpenBeneath(root, "etc/passwd", O_RDONLY);
//   if (!fd) return fd.error().Within("layer debian-12@3");
//
// An Error's text reads "openat2 etc/passwd: Permission denied". Broken invariants of our own do
// not travel this way: they abort through BAILEY_CHECK (base/log.h).
#pragma once

#include <boost/system/result.hpp>
#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>

namespace bailey {

struct Error {
  std::error_code code;  // an errno (generic_category); none for a person's mistake
  std::string context;   // the operation and its operand, or what the person did wrong
  std::string hint;      // the next thing to try, or empty

  // "context: strerror", or just the context when code is empty.
  std::string Message() const;
  // The same error, seen from one level up: "outer: context".
  [[nodiscard]] Error Within(std::string_view outer) const;
  [[nodiscard]] Error WithHint(std::string text) const;
  // For a reply that needs a number: EINVAL for a person's mistake.
  int Errno() const { return code ? code.value() : EINVAL; }
};

// boost::system::result asks for this when value() is called on an error: a bug of the caller.
[[noreturn]] void throw_exception_from_error(const Error& error, const boost::source_location&);

template <class T>
using Result = boost::system::result<T, Error>;
using Status = Result<void>;

// An Error from the calling thread's errno, or from an explicit one.
[[nodiscard]] Error Errno(std::string context, int number = errno);
// An Error that a person made, with a message of its own: shown without strerror's text.
[[nodiscard]] Error Invalid(std::string message, std::string hint = {});

}  // namespace bailey

// Returns the error of `expression` from the enclosing function, or goes on.
#define BAILEY_TRY(expression)                                                             \
  do {                                                                                     \
    if (auto try_result = (expression); !try_result) return std::move(try_result).error(); \
  } while (false)
