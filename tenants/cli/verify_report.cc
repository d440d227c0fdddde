#include "tenants/cli/verify_report.h"

#include <utility>

#include "tenants/cli/views.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

// More than any honest probe says: a flood ends the reading.
constexpr size_t kMostAttempts = 10000;
constexpr size_t kLongestLine = 4096;

bool IsAttempt(const json::object& line) {
  for (const char* key : {"wall", "attempt", "expected", "got"}) {
    const json::value* value = line.if_contains(key);
    if (value == nullptr || !value->is_string()) return false;
  }
  const json::value* ok = line.if_contains("ok");
  return ok != nullptr && ok->is_bool();
}

}  // namespace

void VerifyReport::Take(std::string_view bytes) {
  pending_ += bytes;
  for (size_t end = 0; (end = pending_.find('\n')) != std::string::npos;) {
    TakeLine(std::string_view(pending_).substr(0, end));
    pending_.erase(0, end + 1);
  }
  if (pending_.size() > kLongestLine) pending_.clear();
}

void VerifyReport::TakeLine(std::string_view line) {
  if (attempts_.size() >= kMostAttempts) return;
  json::error_code failed;
  json::value value = json::parse(json::string_view(line.data(), line.size()), failed);
  json::object attempt;
  if (!failed && value.is_object()) attempt = std::move(value.get_object());
  if (const json::value* done = attempt.if_contains("done"); done != nullptr) {
    const auto count = done->to_number<size_t>(failed);
    if (!failed) done_ = count;
    return;
  }
  if (!IsAttempt(attempt))
    attempt = {{"wall", "report"},
               {"attempt", "a line of the probe's"},
               {"expected", "an attempt"},
               {"got", json::string(line.data(), std::min<size_t>(line.size(), 80))},
               {"ok", false}};
  const bool ok = attempt["ok"].as_bool();
  attempt["result"] = ok ? "PASS" : "FAIL";
  failures_ += ok ? 0 : 1;
  attempts_.push_back(std::move(attempt));
}

}  // namespace bailey::tenants
