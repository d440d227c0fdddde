#include "netproxy/denial_report.h"

#include <atomic>
#include <chrono>

#include "netproxy/egress_policy.h"

namespace bailey::netproxy {
namespace {

constexpr std::chrono::milliseconds kWhileRefusing{200};

NetCounter CounterOf(size_t slot) {
  return slot == BAILEY_DENY_BIND ? NetCounter::kDeniedBind
                                  : DenialCounter(static_cast<DenyReason>(slot));
}

}  // namespace

DenialReport::~DenialReport() { Rest(); }

void DenialReport::Rest() {
  loop_.Unwatch(notices_.fd());
  loop_.Cancel(timer_);
}

Status DenialReport::Start() {
  BAILEY_TRY(loop_.Watch(notices_.fd(), EPOLLIN, [this](uint32_t) {
    notices_.Drain([](auto) {});  // what counts is that there was one
    if (!scheduled_) Report();
  }));
  Report();  // what an earlier proxy has not told
  return {};
}

void DenialReport::Report() {
  scheduled_ = CarryOver();
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
    denials_.reported[slot] = counted;
    news = true;
  }
  return news;
}

}  // namespace bailey::netproxy
