#include "base/port_set.h"

#include <bit>

namespace bailey {

std::optional<PublishedPort> PortSet::Next(size_t index) const {
  for (size_t word = index / 64; word < words_.size(); ++word) {
    uint64_t bits = words_[word];
    if (word == index / 64) bits &= ~uint64_t{0} << index % 64;
    if (bits == 0) continue;
    return At(word * 64 + static_cast<size_t>(std::countr_zero(bits)));
  }
  return std::nullopt;
}

std::vector<PublishRule> PortSet::ToRules() const {
  constexpr int kLeastRun = 3;
  std::vector<PublishRule> rules;
  const auto close_run = [&rules](const PublishRule& run) {
    if (run.last - run.first + 1 >= kLeastRun) return rules.push_back(run);
    for (int port = run.first; port <= run.last; ++port)
      rules.emplace_back(run.transport, static_cast<uint16_t>(port), static_cast<uint16_t>(port));
  };
  std::optional<PublishRule> run;
  ForEach([&](PublishedPort port) {
    if (run && run->transport == port.transport && run->last + 1 == port.port) {
      run->last = port.port;
      return;
    }
    if (run) close_run(*run);
    run.emplace(port.transport, port.port, port.port);
  });
  if (run) close_run(*run);
  return rules;
}

}  // namespace bailey
