// What bailey-tls counts, on a page of its own (base/counters.h).
#pragma once

#include <cstdint>

namespace bailey {

enum class TlsCounter : uint32_t {
  kHandshakes,        // that were completed
  kResumed,           // of these
  kFailedHandshakes,  // refused, cut off or given up
  kOpenConnections,   // gauge
  kRefusedFiles,      // certificates that were not taken, at the start or at a reload
  kCertificates,      // gauge: in use
  kEarliestExpiry,    // gauge: Unix time at which the first of them expires; 0: none is in use
  kCount
};

}  // namespace bailey
