#include "netproxy/egress_policy.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "base/log.h"
#include "netproxy/special_ranges.h"

namespace bailey::netproxy {
namespace {

constexpr uint16_t kSmtp = 25;
const EgressRule kPortWall{std::nullopt, {kSmtp, kSmtp}};

bool Covers(const EgressRule& rule, const Cidr& range, uint16_t port) {
  return rule.ports.Contains(port) && (!rule.range || IsWithin(range, *rule.range));
}

bool LiesWithin(const EgressRule& rule, const EgressRule& wall) {
  if (!rule.ports.Within(wall.ports)) return false;
  return !wall.range || (rule.range && IsWithin(*rule.range, *wall.range));
}

// Greater is more specific.
std::tuple<int, int> Specificity(const EgressRule& rule) {
  return {rule.range ? rule.range->prefix : -1, rule.ports.first - rule.ports.last};
}

DenyReason ReasonOf(SpecialKind kind) {
  switch (kind) {
    case SpecialKind::kLoopback:
      return DenyReason::kLoopback;
    case SpecialKind::kLinkLocal:
      return DenyReason::kLinkLocal;
    case SpecialKind::kPrivate:
      return DenyReason::kPrivate;
    case SpecialKind::kMulticast:
      return DenyReason::kMulticast;
  }
  CheckFailed(__FILE__, __LINE__, "a SpecialKind");
}

struct DenialRow {
  DenyReason reason;
  NetCounter counter;
  const char* name;
};
constexpr DenialRow kDenials[] = {
    {DenyReason::kRule, NetCounter::kDeniedRule, "rule"},
    {DenyReason::kPort, NetCounter::kDeniedPort, "port"},
    {DenyReason::kHost, NetCounter::kDeniedHost, "host"},
    {DenyReason::kTenant, NetCounter::kDeniedTenant, "tenant"},
    {DenyReason::kLoopback, NetCounter::kDeniedLoopback, "loopback"},
    {DenyReason::kLinkLocal, NetCounter::kDeniedLinkLocal, "link_local"},
    {DenyReason::kPrivate, NetCounter::kDeniedPrivate, "private"},
    {DenyReason::kMulticast, NetCounter::kDeniedMulticast, "multicast"},
};

const DenialRow& RowOf(DenyReason reason) {
  const auto* const row =
      std::find_if(std::begin(kDenials), std::end(kDenials),
                   [reason](const DenialRow& candidate) { return candidate.reason == reason; });
  BAILEY_CHECK(row != std::end(kDenials));
  return *row;
}

Cidr Whole(const IpAddress& address) { return {address, address.bits()}; }

std::vector<Cidr> WithOwn(std::vector<Cidr> host, const IpAddress& own) {
  host.push_back(Whole(own));
  return host;
}

}  // namespace

NetCounter DenialCounter(DenyReason reason) { return RowOf(reason).counter; }
const char* DenialName(DenyReason reason) { return RowOf(reason).name; }

EgressPolicy::EgressPolicy(ProxyConfig config, std::vector<Cidr> host)
    : config_(std::move(config)),
      peers_(config_.peers),
      host_(WithOwn(std::move(host), config_.ip)),
      inside_(InsideRanges(config_.ip)) {}

Judgement EgressPolicy::Judge(const Endpoint& destination) const {
  return JudgeRange(Whole(destination.address), destination.port);
}

Judgement EgressPolicy::JudgeRange(const Cidr& destination, uint16_t port) const {
  const auto deny = [](DenyReason reason) { return Judgement{Verdict::kDeny, reason}; };
  const Cidr range = Unmapped(destination);
  const Match match = MostSpecific(range, port);
  if (match.denies) return deny(DenyReason::kRule);
  if (kPortWall.ports.Contains(port) && !Opened(kPortWall, range, port))
    return deny(DenyReason::kPort);
  const bool is_peer = IsPeer(range);
  if (!is_peer)
    if (const DenyReason reason = JudgeWalls(range, port); reason != DenyReason::kNone)
      return deny(reason);
  for (const Cidr& carried : Carried(range))
    if (const DenyReason reason = JudgeCarried(carried, port); reason != DenyReason::kNone)
      return deny(reason);
  if (!config_.egress.allow_by_default && match.rule == nullptr) return deny(DenyReason::kRule);
  return {is_peer ? Verdict::kAskPeer : Verdict::kAllow, DenyReason::kNone};
}

bool EgressPolicy::IsPeer(const Cidr& range) const {
  return range != Whole(Unmapped(config_.ip)) && peers_.Find(range) != nullptr;
}

bool EgressPolicy::IsPeer(const IpAddress& address) const {
  return IsPeer(Whole(Unmapped(address)));
}

bool EgressPolicy::MayBeAnswered(const Endpoint& guest) const {
  const Cidr range = Whole(Unmapped(guest.address));
  for (const Cidr& carried : Carried(range))
    if (WallOfCarried(carried) != DenyReason::kNone) return false;
  const DenyReason wall = JudgeWalls(range, guest.port);
  if (wall == DenyReason::kNone) return true;
  return wall != DenyReason::kHost && FindSpecial(range) == FindSpecial(Whole(config_.ip));
}

std::string EgressPolicy::Explain(DenyReason reason, const Endpoint& destination) const {
  if (reason != DenyReason::kRule) return DenialName(reason);
  const IpAddress address = Unmapped(destination.address);
  const Match match = MostSpecific({address, address.bits()}, destination.port);
  return match.denies ? "rule deny " + match.rule->ToString() : "rule default deny";
}

EgressPolicy::Match EgressPolicy::MostSpecific(const Cidr& range, uint16_t port) const {
  Match best;
  // Denies first: an allow must be more specific to win.
  for (const EgressRule& rule : config_.egress.deny)
    if (Covers(rule, range, port) &&
        (best.rule == nullptr || Specificity(rule) > Specificity(*best.rule)))
      best = {&rule, true};
  for (const EgressRule& rule : config_.egress.allow)
    if (Covers(rule, range, port) &&
        (best.rule == nullptr || Specificity(rule) > Specificity(*best.rule)))
      best = {&rule, false};
  return best;
}

bool EgressPolicy::Opened(const EgressRule& wall, const Cidr& range, uint16_t port) const {
  return std::any_of(
      config_.egress.allow.begin(), config_.egress.allow.end(),
      [&](const EgressRule& rule) { return Covers(rule, range, port) && LiesWithin(rule, wall); });
}

DenyReason EgressPolicy::JudgeWalls(const Cidr& range, uint16_t port) const {
  if (const Cidr* host = host_.Find(range); host != nullptr && !Opened({*host, {}}, range, port))
    return DenyReason::kHost;
  if (const SpecialRange* special = FindSpecial(range);
      special != nullptr && !Opened({special->range, {}}, range, port))
    return ReasonOf(special->kind);
  return DenyReason::kNone;
}

DenyReason EgressPolicy::JudgeCarried(const Cidr& carried, uint16_t port) const {
  return MostSpecific(carried, port).denies ? DenyReason::kRule : WallOfCarried(carried);
}

DenyReason EgressPolicy::WallOfCarried(const Cidr& carried) const {
  if (host_.Find(carried) != nullptr) return DenyReason::kHost;
  if (const SpecialRange* special = FindSpecial(carried)) return ReasonOf(special->kind);
  return peers_.Find(carried) != nullptr ? DenyReason::kTenant : DenyReason::kNone;
}

std::vector<Cidr> EgressPolicy::InsideRanges(const IpAddress& tenant_ip) {
  const Cidr loopback{IpAddress::V4(0x7f000000), 8};
  const bool in_loopback = loopback.Contains(tenant_ip);
  return {Whole(tenant_ip),
          {loopback.address, in_loopback ? 16 : loopback.prefix},
          Whole(*IpAddress::Parse("::1")),
          Whole(*IpAddress::Parse("0.0.0.0")),
          Whole(*IpAddress::Parse("::"))};
}

bool EgressPolicy::StaysInside(const IpAddress& address) const {
  const Cidr range = Whole(Unmapped(address));
  return std::any_of(inside_.begin(), inside_.end(),
                     [&range](const Cidr& inside) { return IsWithin(range, inside); });
}

std::vector<Cidr> EgressPolicy::Boundaries() const {
  std::set<Cidr> all = {{IpAddress(), 0}, {IpAddress::V6({}), 0}};
  for (const auto* rules : {&config_.egress.allow, &config_.egress.deny})
    for (const EgressRule& rule : *rules)
      if (rule.range) all.insert(*rule.range);
  for (const auto& ranges : {host_.ranges(), inside_}) all.insert(ranges.begin(), ranges.end());
  for (const SpecialRange& row : SpecialRanges()) all.insert(row.range);
  std::set<Cidr> carrying;
  for (const Carrier& carrier : Carriers()) {
    carrying.insert(carrier.range);
    for (const Cidr& range : all)
      if (!range.address.is_v6())
        if (const auto outer = Carrying(carrier, range)) carrying.insert(*outer);
  }
  all.merge(carrying);
  all.insert(peers_.ranges().begin(), peers_.ranges().end());
  return {all.begin(), all.end()};
}

std::vector<uint16_t> EgressPolicy::PortBoundaries() const {
  std::set<uint16_t> firsts = {0};
  const auto add = [&firsts](const PortRange& ports) {
    firsts.insert(ports.first);
    if (ports.last != 65535) firsts.insert(static_cast<uint16_t>(ports.last + 1));
  };
  add(kPortWall.ports);
  for (const auto* rules : {&config_.egress.allow, &config_.egress.deny})
    for (const EgressRule& rule : *rules) add(rule.ports);
  return {firsts.begin(), firsts.end()};
}

}  // namespace bailey::netproxy
