// SourceGuard: the wall behind the proxy. BPF on the tenant's `servers` group lets out only what
// comes from the tenant's address, and in only what is for it; besides, questions to the host's
// resolvers and their answers. A proxy that was taken over cannot speak as another tenant or as the
// host, nor hear what is theirs. The supervisor attaches it before the first proxy runs, and checks
// that the kernel has it; the proxy has neither its maps nor a capability to change it. What it
// stops of what the proxy does is counted and logged. Stays attached until destruction. Runs on the
// loop's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/event_loop.h"
#include "base/ip_address.h"
#include "base/result.h"
#include "base/unique_fd.h"

struct bailey_guard_count;
struct bpf_program;
struct ring_buffer;

namespace bailey::supervisor {

class SourceGuard {
 public:
  // `stopped(n)`: so many more binds, connects or packets were stopped. For the calling thread's
  // network namespace, in which the tenant's `ip` is. Needs CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON.
  static Result<std::unique_ptr<SourceGuard>> Attach(EventLoop& loop, int servers_cgroup,
                                                     const IpAddress& ip,
                                                     std::function<void(uint64_t n)> stopped);
  ~SourceGuard();
  SourceGuard(const SourceGuard&) = delete;
  SourceGuard& operator=(const SourceGuard&) = delete;

  // Where questions may go. Those of the call before stay allowed: some may be on their way.
  Status SetResolvers(const std::vector<Endpoint>& resolvers);
  // All that was stopped so far.
  uint64_t stopped() const;

 private:
  explicit SourceGuard(EventLoop& loop) : loop_(loop) {}
  Status Load(int servers_cgroup, const IpAddress& ip);
  Status AttachOne(const bpf_program* program, int servers_cgroup);
  void OnNotice();
  void Report();

  EventLoop& loop_;
  std::function<void(uint64_t)> stopped_;
  struct Attached {
    UniqueFd program, link;
    int type;
  };
  std::vector<Attached> attached_;
  UniqueFd resolvers_map_;
  bailey_guard_count* count_ = nullptr;  // mapped
  std::unique_ptr<ring_buffer, void (*)(ring_buffer*)> notices_{nullptr, nullptr};
  std::vector<Endpoint> resolvers_, earlier_;
  uint64_t reported_ = 0;
  EventLoop::TimerId report_ = 0;
};

// The "resolvers" of a proxy's configuration, which the supervisor passes on otherwise unread: what
// cannot be read there is none.
std::vector<Endpoint> ResolversIn(std::string_view network);

}  // namespace bailey::supervisor
