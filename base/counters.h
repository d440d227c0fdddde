// Counters in shared memory: a server counts with a relaxed atomic, a scrape reads the page and
// asks nobody. One sealed memfd per server (so that a taken-over proxy can neither shrink the page
// under its reader nor forge another server's figures), held by the supervisor, mapped by baileyd.
//
// A counter's place is its number in the enum below: new ones go to the end of an enum.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey {

enum class FsCounter : uint32_t {
  kLookups,
  kOpens,
  kCreates,
  kReads,
  kWrites,
  kReaddirs,
  kGetattrs,
  kSetattrs,
  kMutations,
  kCopyUps,
  kCopyUpBytes,
  kPassthroughOpens,
  kErrors,
  kRequests,
  kDenied,
  kOpenFiles,  // gauge
  kNodes,      // gauge: inodes the kernel knows
  kCount
};

enum class NetCounter : uint32_t {
  kConnectionsIn,
  kConnectionsOut,
  kBytesIn,
  kBytesOut,
  kDnsQueries,
  kDatagramsIn,
  kDatagramsOut,
  kDeniedHost,
  kDeniedLoopback,
  kDeniedLinkLocal,
  kDeniedPrivate,
  kDeniedMulticast,
  kDeniedTenant,
  kDeniedPort,
  kDeniedRule,
  kDeniedLimit,
  kDeniedBind,
  kRefusedUpstream,
  kUnreachableUpstream,
  kTimedOutUpstream,
  kSourceViolations,
  kOpenConnections,  // gauge
  kPublishedPorts,   // gauge
  kLimitConnections,
  kLimitConnectionRate,
  kLimitDestinationRate,
  kLimitHalfOpen,
  kLimitUdpFlows,
  kLimitBandwidthIn,   // times that a flow had to wait, and datagrams dropped
  kLimitBandwidthOut,  // likewise
  kLimitIdle,          // connections ended
  kDelayedConnections,
  kCount
};

enum class SupervisorCounter : uint32_t {
  kStarts,
  kRestarts,
  kExecs,
  kExitsNormal,
  kExitsSignal,
  kExitsOom,
  kExitsSeccomp,
  kDeniedSeccomp,
  kDeniedCapability,
  kDeniedNamespace,
  kDeniedCgroup,
  kFsRestarts,
  kProxyRestarts,
  kStartMicroseconds,  // gauge: the last start, to the first instruction of the start command
  kDiskBytes,          // gauge: the size of a limited store; 0 for a plain directory
  kDiskUsedBytes,      // gauge: of these
  kDiskInodes,         // gauge
  kDiskUsedInodes,     // gauge
  kSourceViolations,   // what the source guard has stopped of a proxy's
  kCount
};

// The counters of one server, in a memfd of one page.
template <class Counter>
class CounterPage {
 public:
  static constexpr size_t kSize = static_cast<size_t>(Counter::kCount);

  void Add(Counter counter, uint64_t amount = 1) {
    values_[static_cast<size_t>(counter)].fetch_add(amount, std::memory_order_relaxed);
  }
  void Subtract(Counter counter, uint64_t amount = 1) {
    values_[static_cast<size_t>(counter)].fetch_sub(amount, std::memory_order_relaxed);
  }
  void Set(Counter counter, uint64_t value) {
    values_[static_cast<size_t>(counter)].store(value, std::memory_order_relaxed);
  }
  uint64_t Get(Counter counter) const {
    return values_[static_cast<size_t>(counter)].load(std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<uint64_t>, kSize> values_;
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);
static_assert(sizeof(CounterPage<NetCounter>) <= 4096);

// A memfd of one page, zeroed, sealed against shrinking and growing.
Result<UniqueFd> MakeCounterMemory(const char* name);

// A mapping of a page made by MakeCounterMemory. Keeps no descriptor.
template <class Counter>
class CounterMapping {
 public:
  CounterMapping() = default;
  // EINVAL unless `fd` is a page that cannot shrink.
  static Result<CounterMapping> Map(int fd, bool writable);
  CounterPage<Counter>* get() const { return page_.get(); }
  CounterPage<Counter>* operator->() const { return page_.get(); }
  explicit operator bool() const { return page_ != nullptr; }

 private:
  struct Unmap {
    void operator()(CounterPage<Counter>* page) const;
  };
  std::unique_ptr<CounterPage<Counter>, Unmap> page_;
};

// The mapping behind the template: 4 KiB, or why not.
Result<void*> MapCounterMemory(int fd, bool writable);
void UnmapCounterMemory(void* page);

template <class Counter>
Result<CounterMapping<Counter>> CounterMapping<Counter>::Map(int fd, bool writable) {
  Result<void*> page = MapCounterMemory(fd, writable);
  if (!page) return page.error();
  CounterMapping mapping;
  mapping.page_.reset(static_cast<CounterPage<Counter>*>(*page));
  return mapping;
}
template <class Counter>
void CounterMapping<Counter>::Unmap::operator()(CounterPage<Counter>* page) const {
  UnmapCounterMemory(page);
}

}  // namespace bailey
