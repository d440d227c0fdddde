#include "netproxy/kernel_policy.h"

#include <algorithm>
#include <cstring>

#include "netproxy/special_ranges.h"

namespace bailey::netproxy {
namespace {

constexpr uint16_t kLastPort = 65535;
constexpr bailey_egress_ports kPassToTheEnd{kLastPort, 0, 0};

bool SameAnswer(const bailey_egress_ports& a, const bailey_egress_ports& b) {
  return a.deny == b.deny && a.reason == b.reason;
}
bool SameValue(const bailey_egress_value& a, const bailey_egress_value& b) {
  return std::equal(
      std::begin(a.ports), std::end(a.ports), std::begin(b.ports),
      [](const auto& x, const auto& y) { return x.last_port == y.last_port && SameAnswer(x, y); });
}

bailey_egress_value Pack(const std::vector<bailey_egress_ports>& segments) {
  bailey_egress_value value{};
  const size_t fit = std::min<size_t>(segments.size(), BAILEY_EGRESS_PORTS);
  std::copy_n(segments.begin(), fit, value.ports);
  // Too many: the proxy judges the rest.
  if (segments.size() > fit) value.ports[fit - 1] = kPassToTheEnd;
  return value;
}

// The answers for all ports of an address whose most specific boundary is `range`. `firsts`: where
// they may change.
bailey_egress_value Judge(const EgressPolicy& policy, const Cidr& range,
                          const std::vector<uint16_t>& firsts) {
  std::vector<bailey_egress_ports> segments;
  for (size_t i = 0; i < firsts.size(); ++i) {
    const Judgement judgement = policy.JudgeRange(range, firsts[i]);
    const uint16_t last =
        i + 1 < firsts.size() ? static_cast<uint16_t>(firsts[i + 1] - 1) : kLastPort;
    const bailey_egress_ports segment{last, judgement.verdict == Verdict::kDeny,
                                      static_cast<uint8_t>(judgement.reason)};
    if (!segments.empty() && SameAnswer(segments.back(), segment))
      segments.back().last_port = last;
    else
      segments.push_back(segment);
  }
  return Pack(segments);
}

// Drops what repeats the answer of the prefix around it. `all` is sorted, so that comes before.
std::vector<KernelPrefix> WithoutRepetitions(const std::vector<KernelPrefix>& all) {
  std::vector<KernelPrefix> kept;
  std::vector<size_t> around;  // indexes into `kept`: the prefixes that have the current one
  for (const KernelPrefix& next : all) {
    while (!around.empty() && !IsWithin(next.prefix, kept[around.back()].prefix)) around.pop_back();
    if (!around.empty() && SameValue(kept[around.back()].value, next.value)) continue;
    around.push_back(kept.size());
    kept.push_back(next);
  }
  return kept;
}

}  // namespace

std::vector<KernelPrefix> KernelPolicy(const EgressPolicy& policy) {
  const std::vector<Cidr> inside = EgressPolicy::InsideRanges(policy.config().ip);
  const std::vector<uint16_t> firsts = policy.PortBoundaries();
  std::vector<KernelPrefix> all;
  for (const Cidr& range : policy.Boundaries()) {
    const bool passes = std::any_of(inside.begin(), inside.end(),
                                    [&](const Cidr& own) { return IsWithin(range, own); });
    const bailey_egress_value value = passes ? Pack({kPassToTheEnd}) : Judge(policy, range, firsts);
    all.push_back({range, value});
    if (!range.address.is_v6()) all.push_back({Mapped(range), value});
  }
  const auto by_prefix = [](const auto& a, const auto& b) { return a.prefix < b.prefix; };
  std::sort(all.begin(), all.end(), by_prefix);
  return WithoutRepetitions(all);
}

bailey_egress_key4 Key4(const Cidr& prefix) {
  bailey_egress_key4 key{static_cast<uint32_t>(prefix.prefix), {}};
  std::memcpy(key.address, prefix.address.bytes().data(), sizeof key.address);
  return key;
}

bailey_egress_key6 Key6(const Cidr& prefix) {
  bailey_egress_key6 key{static_cast<uint32_t>(prefix.prefix), {}};
  std::memcpy(key.address, prefix.address.bytes().data(), sizeof key.address);
  return key;
}

}  // namespace bailey::netproxy
