#include "netproxy/first_bytes.h"

#include <algorithm>

namespace bailey::netproxy {
namespace {

using namespace std::literals;

constexpr std::string_view kMethods[] = {"GET"sv,   "HEAD"sv,   "POST"sv,   "PUT"sv,
                                         "PATCH"sv, "DELETE"sv, "OPTIONS"sv};
constexpr std::string_view kTargets[] = {" /"sv, " http:/"sv, " https:/"sv};

enum class Match { kNo, kSoFar, kYes };

// Whether `bytes` begins with `wanted`, or may do so yet.
Match Begins(std::string_view bytes, std::string_view wanted) {
  const size_t both = std::min(bytes.size(), wanted.size());
  if (bytes.substr(0, both) != wanted.substr(0, both)) return Match::kNo;
  return both == wanted.size() ? Match::kYes : Match::kSoFar;
}

}  // namespace

FirstBytes JudgeFirstBytes(std::string_view bytes) {
  for (const std::string_view method : kMethods) {
    const Match begins = Begins(bytes, method);
    if (begins == Match::kSoFar) return FirstBytes::kTooFew;
    if (begins == Match::kNo) continue;
    bool may_be = false;
    for (const std::string_view target : kTargets) {
      const Match goes_on = Begins(bytes.substr(method.size()), target);
      if (goes_on == Match::kYes) return method == "HEAD" ? FirstBytes::kHead : FirstBytes::kHttp;
      may_be = may_be || goes_on == Match::kSoFar;
    }
    return may_be ? FirstBytes::kTooFew : FirstBytes::kOther;  // no method begins another
  }
  return FirstBytes::kOther;
}

}  // namespace bailey::netproxy
