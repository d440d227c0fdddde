// BpfRing: the reading side of a BPF ring buffer. Opening takes system calls that a confined proxy
// has no more; reading takes none. Not thread-safe.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "base/result.h"

struct ring_buffer;

namespace bailey::netproxy {

class BpfRing {
 public:
  using Handler = std::function<void(std::span<const std::byte>)>;

  // `map`: the descriptor of the ring buffer map, borrowed.
  static Result<std::unique_ptr<BpfRing>> Open(int map);
  ~BpfRing();
  BpfRing(const BpfRing&) = delete;
  BpfRing& operator=(const BpfRing&) = delete;

  // To be watched for EPOLLIN.
  int fd() const { return map_; }
  // Calls `handler` for every record that is there.
  void Drain(const Handler& handler);

 private:
  explicit BpfRing(int map) : map_(map) {}
  static int OnRecord(void* self, void* data, size_t size);

  int map_;
  ring_buffer* ring_ = nullptr;
  const Handler* handler_ = nullptr;
};

}  // namespace bailey::netproxy
