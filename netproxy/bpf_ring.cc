#include "netproxy/bpf_ring.h"

#include <bpf/libbpf.h>

namespace bailey::netproxy {

Result<std::unique_ptr<BpfRing>> BpfRing::Open(int map) {
  std::unique_ptr<BpfRing> ring(new BpfRing(map));
  ring->ring_ = ring_buffer__new(map, OnRecord, ring.get(), nullptr);
  if (ring->ring_ == nullptr) return Errno("map a BPF ring buffer");
  return ring;
}

BpfRing::~BpfRing() { ring_buffer__free(ring_); }

void BpfRing::Drain(const Handler& handler) {
  handler_ = &handler;
  ring_buffer__consume(ring_);
  handler_ = nullptr;
}

int BpfRing::OnRecord(void* self, void* data, size_t size) {
  (*static_cast<BpfRing*>(self)->handler_)({static_cast<const std::byte*>(data), size});
  return 0;
}

}  // namespace bailey::netproxy
