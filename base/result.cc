#include "base/result.h"

#include "base/log.h"

namespace bailey {

std::string Error::Message() const {
  if (!code) return context;
  return context.empty() ? code.message() : context + ": " + code.message();
}

Error Error::Within(std::string_view outer) const {
  return Error{code, context.empty() ? std::string(outer) : std::string(outer) + ": " + context,
               hint};
}

Error Error::WithHint(std::string text) const { return Error{code, context, std::move(text)}; }

Error Errno(std::string context, int number) {
  return Error{std::error_code(number, std::generic_category()), std::move(context), {}};
}

Error Invalid(std::string message, std::string hint) {
  return Error{{}, std::move(message), std::move(hint)};
}

void throw_exception_from_error(const Error& error, const boost::source_location& where) {
  LogError("value() of an error: " + error.Message());
  CheckFailed(where.file_name(), static_cast<int>(where.line()), "result.has_value()");
}

}  // namespace bailey
