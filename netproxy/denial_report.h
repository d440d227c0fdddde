// DenialReport: carries what the BPF programs refused over to the counter page. A refusal wakes
// the proxy once; while refusals go on it looks a few times a second; then it sleeps.
#pragma once

#include "base/counters.h"
#include "base/event_loop.h"
#include "base/result.h"
#include "netproxy/bpf_ring.h"
#include "netproxy/bpf_types.h"

namespace bailey::netproxy {

class DenialReport {
 public:
  // All outlive this. `denials` is the page that the programs count in.
  DenialReport(EventLoop& loop, CounterPage<NetCounter>& counters, bailey_denials& denials,
               BpfRing& notices)
      : loop_(loop), counters_(counters), denials_(denials), notices_(notices) {}
  ~DenialReport();
  DenialReport(const DenialReport&) = delete;
  DenialReport& operator=(const DenialReport&) = delete;

  Status Start();
  // Carries over no more: another proxy does.
  void Rest();

 private:
  void Report();
  bool CarryOver();

  EventLoop& loop_;
  CounterPage<NetCounter>& counters_;
  bailey_denials& denials_;
  BpfRing& notices_;
  bool scheduled_ = false;
  EventLoop::TimerId timer_ = 0;
};

}  // namespace bailey::netproxy
