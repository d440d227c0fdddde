// PortSet: a set of ports of both transports, as bits: what 10,000 of them take is what one does.
// Empty, it takes nothing. Plain value; no I/O; not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/publish_rule.h"

namespace bailey {

class PortSet {
 public:
  // One bit for each port, TCP's first.
  static constexpr size_t kWords = 2 * 65536 / 64;

  bool Contains(PublishedPort port) const {
    return !words_.empty() && (words_[Word(port)] & Bit(port)) != 0;
  }
  // Whether that changed anything.
  bool Insert(PublishedPort port) {
    if (Contains(port)) return false;
    if (words_.empty()) words_.resize(kWords);
    words_[Word(port)] |= Bit(port);
    ++size_;
    return true;
  }
  bool Erase(PublishedPort port) {
    if (!Contains(port)) return false;
    words_[Word(port)] &= ~Bit(port);
    --size_;
    return true;
  }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  std::optional<PublishedPort> First() const { return Next(0); }
  // In order. `each` may insert and erase.
  template <class Each>
  void ForEach(Each each) const {
    for (auto at = Next(0); at; at = Next(Index(*at) + 1)) each(*at);
  }
  // Runs of at least three ports as one rule.
  std::vector<PublishRule> ToRules() const;

  static size_t Word(PublishedPort port) { return Index(port) / 64; }
  static uint64_t Bit(PublishedPort port) { return uint64_t{1} << Index(port) % 64; }
  static PublishedPort At(size_t index) {
    return {index < 65536 ? Transport::kTcp : Transport::kUdp, static_cast<uint16_t>(index)};
  }

 private:
  static size_t Index(PublishedPort port) {
    return (port.transport == Transport::kUdp ? size_t{65536} : 0) + port.port;
  }
  // The first that is there from `index` on.
  std::optional<PublishedPort> Next(size_t index) const;

  std::vector<uint64_t> words_;
  size_t size_ = 0;
};

}  // namespace bailey
