#include "netproxy/denial_report.h"

#include <netinet/in.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <utility>

#include "netproxy/egress_policy.h"

namespace bailey::netproxy {
namespace {

constexpr std::chrono::milliseconds kWhileRefusing{200};

NetCounter CounterOf(size_t slot) {
  return slot == BAILEY_DENY_BIND ? NetCounter::kDeniedBind
                                  : DenialCounter(static_cast<DenyReason>(slot));
}

IpAddress AddressOf(const bailey_denial_notice& notice) {
  if (notice.v6 == 0) return IpAddress::V4(ntohl(notice.to[0]));
  std::array<uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), notice.to, bytes.size());
  return IpAddress::V6(bytes);
}

}  // namespace

DenialReport::~DenialReport() { Rest(); }

void DenialReport::Rest() {
  loop_.Unwatch(notices_.fd());
  loop_.Cancel(timer_);
}

Status DenialReport::Start() {
  BAILEY_TRY(loop_.Watch(notices_.fd(), EPOLLIN, [this](uint32_t) {
    DrainNotices();
    if (!scheduled_) Report();
  }));
  Report();  // what an earlier proxy has not told
  return {};
}

void DenialReport::DrainNotices() {
  notices_.Drain([this](std::span<const std::byte> record) { OnNotice(record); });
}

void DenialReport::OnNotice(std::span<const std::byte> record) {
  bailey_denial_notice notice{};
  if (record.size() < sizeof notice) return;
  std::memcpy(&notice, record.data(), sizeof notice);
  --unseen_;
  const bool bind = notice.reason == BAILEY_DENY_BIND, udp = notice.protocol == IPPROTO_UDP;
  const Endpoint to{AddressOf(notice), notice.to_port};
  const EgressPolicy& policy = gatekeeper_.policy();
  log_.Add(
      {.protocol = bind ? (udp ? "bind udp" : "bind tcp") : (udp ? "udp" : "tcp"),
       .from = {policy.config().ip, notice.from_port},
       .to = to},
      [&] { return bind ? "bind" : policy.Explain(static_cast<DenyReason>(notice.reason), to); });
}

void DenialReport::Report() {
  DrainNotices();
  scheduled_ = CarryOver();
  if (unseen_ > 0) log_.AddUnseen(static_cast<uint64_t>(std::exchange(unseen_, 0)));
  if (!scheduled_) {
    // From here on a refusal gives notice again. One that came just before is seen by the second
    // look.
    std::atomic_ref(denials_.told).store(0, std::memory_order_seq_cst);
    scheduled_ = CarryOver();
  }
  if (scheduled_) timer_ = loop_.After(kWhileRefusing, [this] { Report(); });
}

bool DenialReport::CarryOver() {
  bool news = false;
  for (size_t slot = 0; slot < BAILEY_DENY_REASONS; ++slot) {
    const uint64_t counted =
        std::atomic_ref(denials_.counted[slot]).load(std::memory_order_seq_cst);
    const uint64_t more = counted - denials_.reported[slot];
    if (more == 0) continue;
    counters_.Add(CounterOf(slot), more);
    unseen_ += static_cast<int64_t>(more);
    denials_.reported[slot] = counted;
    news = true;
  }
  return news;
}

}  // namespace bailey::netproxy
