// DenialReport: carries what the BPF programs refused over to the counter page, and the first of
// each look to the log. A refusal wakes the proxy once; while refusals go on it looks a few times a
// second; then it sleeps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/counters.h"
#include "base/event_loop.h"
#include "base/result.h"
#include "netproxy/bpf_ring.h"
#include "netproxy/bpf_types.h"
#include "netproxy/denial_log.h"
#include "netproxy/gatekeeper.h"

namespace bailey::netproxy {

class DenialReport {
 public:
  // All outlive this. `denials` is the page that the programs count in.
  DenialReport(EventLoop& loop, CounterPage<NetCounter>& counters, bailey_denials& denials,
               BpfRing& notices, DenialLog& log, const Gatekeeper& gatekeeper)
      : loop_(loop),
        counters_(counters),
        denials_(denials),
        notices_(notices),
        log_(log),
        gatekeeper_(gatekeeper) {}
  ~DenialReport();
  DenialReport(const DenialReport&) = delete;
  DenialReport& operator=(const DenialReport&) = delete;

  Status Start();
  // Carries over no more: another proxy does.
  void Rest();

 private:
  void Report();
  bool CarryOver();
  void DrainNotices();
  void OnNotice(std::span<const std::byte> record);

  EventLoop& loop_;
  CounterPage<NetCounter>& counters_;
  bailey_denials& denials_;
  BpfRing& notices_;
  DenialLog& log_;
  const Gatekeeper& gatekeeper_;
  int64_t unseen_ = 0;  // counted, and no notice of it; below 0: noticed, and not counted yet
  bool scheduled_ = false;
  EventLoop::TimerId timer_ = 0;
};

}  // namespace bailey::netproxy
