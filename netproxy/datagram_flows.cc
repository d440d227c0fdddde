#include "netproxy/datagram_flows.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "base/log.h"
#include "netproxy/dialer.h"
#include "netproxy/raw_packet.h"

namespace bailey::netproxy {
namespace {

using std::chrono::seconds;
constexpr seconds kUnanswered{30}, kAnswered{180}, kBetweenSweeps{10};
constexpr int kDatagramsPerTurn = 32;

}  // namespace

DatagramFlows::~DatagramFlows() {
  KeepOnly([](const Endpoint&) { return false; });
  loop_.Cancel(sweep_);
}

void DatagramFlows::Forward(int raw, const Endpoint& inside, const Endpoint& foreign,
                            Bytes payload) {
  auto flow = Find(raw, inside, foreign);
  if (!flow) {
    const int error = flow.error().Errno();
    if (error == EXDEV) {
      counters_.Add(NetCounter::kSourceViolations);
      LogError(flow.error().Message());
    }
    SendRawUnreachable(raw, Unreachable::kHost, inside, foreign);
    return;
  }
  Touch(*flow);
  if (::send((*flow)->socket.get(), payload.data(), payload.size(), MSG_NOSIGNAL) >= 0)
    counters_.Add(NetCounter::kDatagramsOut);
  else
    OnError(**flow, errno);  // of an earlier datagram, most likely; this one is lost, as UDP may be
}

Result<DatagramFlows::Place> DatagramFlows::Find(int raw, const Endpoint& inside,
                                                 const Endpoint& foreign) {
  if (const auto found = index_.find({inside, foreign}); found != index_.end())
    return found->second;
  auto socket = Dial(tenant_ip_, foreign, SOCK_DGRAM);
  if (!socket) return socket.error();
  if (flows_.size() >= limit_) {
    counters_.Add(NetCounter::kLimitUdpFlows);
    Remove(std::prev(flows_.end()));
  }
  flows_.push_front({inside, foreign, raw, std::move(*socket), EventLoop::Clock::now()});
  const Place flow = flows_.begin();
  index_.emplace(std::pair(inside, foreign), flow);
  const Status watched =
      loop_.Watch(flow->socket.get(), EPOLLIN, [this, flow](uint32_t) { OnReadable(flow); });
  if (!watched) {
    Remove(flow);
    return watched.error();
  }
  if (sweep_ == 0) sweep_ = loop_.After(kBetweenSweeps, [this] { Sweep(); });
  return flow;
}

void DatagramFlows::OnReadable(Place flow) {
  Touch(flow);
  for (int i = 0; i < kDatagramsPerTurn; ++i) {
    const ssize_t got = ::recv(flow->socket.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (got < 0) {
      if (errno != EAGAIN) OnError(*flow, errno);
      return;
    }
    flow->answered = true;
    counters_.Add(NetCounter::kDatagramsIn);
    SendRawDatagram(flow->raw, flow->foreign, flow->inside,
                    {buffer_.data(), static_cast<size_t>(got)});
  }
}

void DatagramFlows::OnError(const Flow& flow, int error) {
  if (error == EAGAIN || error == ENOBUFS) return;
  counters_.Add(error == ECONNREFUSED ? NetCounter::kRefusedUpstream
                                      : NetCounter::kUnreachableUpstream);
  SendRawUnreachable(flow.raw, error == ECONNREFUSED ? Unreachable::kPort : Unreachable::kHost,
                     flow.inside, flow.foreign);
}

void DatagramFlows::Touch(Place flow) {
  flow->used = EventLoop::Clock::now();
  flows_.splice(flows_.begin(), flows_, flow);
}

void DatagramFlows::Remove(Place flow) {
  loop_.Unwatch(flow->socket.get());
  index_.erase({flow->inside, flow->foreign});
  flows_.erase(flow);
}

void DatagramFlows::SetLimit(uint64_t flows) {
  limit_ = flows == 0 ? kMostFlows : std::min<uint64_t>(flows, kMostFlows);
  while (flows_.size() > limit_) Remove(std::prev(flows_.end()));
}

void DatagramFlows::KeepOnly(const std::function<bool(const Endpoint& foreign)>& allowed) {
  for (auto flow = flows_.begin(); flow != flows_.end();) {
    const auto next = std::next(flow);
    if (!allowed(flow->foreign)) Remove(flow);
    flow = next;
  }
}

void DatagramFlows::Sweep() {
  const auto now = EventLoop::Clock::now();
  for (auto flow = flows_.begin(); flow != flows_.end();) {
    const auto next = std::next(flow);
    if (now - flow->used > (flow->answered ? kAnswered : kUnanswered)) Remove(flow);
    flow = next;
  }
  sweep_ = flows_.empty() ? 0 : loop_.After(kBetweenSweeps, [this] { Sweep(); });
}

}  // namespace bailey::netproxy
