// TlsSite: a certificate for one port, as a spec names it, and its JSON form: an array of
//   {"port": 443, "certificate": "/…/fullchain.pem", "key": "/…/privkey.pem", "alpn": ["http/1.1"]}
// where `port` and `alpn` may be left out. Pure: no file is opened.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace bailey::supervisor {

inline constexpr size_t kMaxTlsSites = 32;

struct TlsSite {
  uint16_t port = 443;
  std::string certificate, key;  // absolute paths of the host's
  std::vector<std::string> alpn = {"http/1.1"};
  bool operator==(const TlsSite&) const = default;
};

// Errors: Invalid, saying which site lacks what, and how to write it.
Result<std::vector<TlsSite>> TlsSitesFromJson(const boost::json::value& value);
boost::json::array ToJson(const std::vector<TlsSite>& sites);

}  // namespace bailey::supervisor
