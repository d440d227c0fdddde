// What bailey-probe reported from inside a tenant, judged. Its lines come out of a tenant: they are
// data, never trusted to be well-formed.
#pragma once

#include <boost/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace bailey::tenants {

// One line of the probe's: {"wall","attempt","expected","got","ok"}; the last: {"done":N}.
class VerifyReport {
 public:
  // Bytes as they come, in pieces of any size.
  void Take(std::string_view bytes);

  // The attempts, each with "result": PASS or FAIL. Lines that are no attempt count as failures.
  const boost::json::array& attempts() const { return attempts_; }
  size_t failures() const { return failures_; }
  // The probe came to its end, and no line of it was lost.
  bool complete() const { return done_ && *done_ == attempts_.size(); }

 private:
  void TakeLine(std::string_view line);

  std::string pending_;
  boost::json::array attempts_;
  size_t failures_ = 0;
  std::optional<size_t> done_;
};

}  // namespace bailey::tenants
