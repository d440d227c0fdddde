#include "netproxy/datagram_flows.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
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
constexpr int kBatchesPerTurn = 2, kErrorsPerTurn = 16;
constexpr uint16_t kDns = 53;

}  // namespace

DatagramFlows::~DatagramFlows() {
  KeepOnly([](const Endpoint&) { return false; });
  loop_.Cancel(sweep_);
}

bool DatagramFlows::GoOn(const Endpoint& inside, const Endpoint& foreign,
                         std::span<const Bytes> payloads) {
  const auto found = index_.find({inside, foreign});
  if (found == index_.end()) return false;
  Touch(found->second);
  Send(found->second, payloads);
  return true;
}

void DatagramFlows::Begin(int raw, const Endpoint& inside, const Endpoint& foreign,
                          std::span<const Bytes> payloads) {
  auto flow = Open(raw, inside, foreign);
  if (flow) return Send(*flow, payloads);
  const int error = flow.error().Errno();
  if (error == EXDEV) {
    counters_.Add(NetCounter::kSourceViolations);
    LogError(flow.error().Message());
  } else if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) {
    counters_.Add(NetCounter::kDeniedLimit);
  }
  SendRawUnreachable(raw, ReasonFor(error), inside, foreign);
}

void DatagramFlows::Send(Place flow, std::span<const Bytes> payloads) {
  if (flow->foreign.port == kDns) flow->questions += static_cast<int>(payloads.size());
  int error = 0;
  counters_.Add(NetCounter::kDatagramsOut, SendAll(flow->socket.get(), nullptr, payloads, error));
  OnError(*flow, error);
}

Result<DatagramFlows::Place> DatagramFlows::Open(int raw, const Endpoint& inside,
                                                 const Endpoint& foreign) {
  auto socket = Dial(tenant_ip_, foreign, SOCK_DGRAM);
  if (!socket) return socket.error();
  if (flows_.size() >= limit_) MakeRoom();
  sockaddr_storage own{};
  socklen_t size = sizeof own;
  ::getsockname(socket->get(), reinterpret_cast<sockaddr*>(&own), &size);
  flows_.push_front({inside, foreign, raw, std::move(*socket), EventLoop::Clock::now(),
                     Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&own)).port});
  const Place flow = flows_.begin();
  ++per_socket_[inside];
  index_.emplace(std::pair(inside, foreign), flow);
  Status ready = ReportErrors(flow->socket.get(), foreign.address.family());
  if (ready)
    ready = loop_.Watch(flow->socket.get(), EPOLLIN,
                        [this, flow](uint32_t events) { OnEvents(flow, events); });
  if (!ready) {
    Remove(flow);
    return ready.error();
  }
  if (sweep_ == 0) sweep_ = loop_.After(kBetweenSweeps, [this] { Sweep(); });
  return flow;
}

void DatagramFlows::OnEvents(Place flow, uint32_t events) {
  Touch(flow);
  for (int i = 0; (events & EPOLLERR) != 0 && i < kErrorsPerTurn; ++i) {
    int error = 0;
    if (!NextError(flow->socket.get(), error)) break;
    OnError(*flow, error);
  }
  for (int i = 0; i < kBatchesPerTurn; ++i) {
    const auto datagrams = batch_.Receive(flow->socket.get());
    if (!datagrams) return;
    flow->answered = true;
    std::array<RawDatagram, DatagramBatch::kMost> inside;
    size_t count = 0;
    for (const Datagram& each : *datagrams)
      if (relays_.TakeDatagram(Relay::kOutside, each.payload.size()))
        inside[count++] = {flow->foreign, flow->inside, each.payload};
    counters_.Add(NetCounter::kDatagramsIn, count);
    SendRawDatagrams(flow->raw, {inside.data(), count});
    flow->questions -= static_cast<int>(datagrams->size());
    if (flow->foreign.port == kDns && flow->questions <= 0) return Remove(flow);
    if (datagrams->size() < DatagramBatch::kMost) return;
  }
}

void DatagramFlows::MakeRoom() {
  const auto most =
      std::max_element(per_socket_.begin(), per_socket_.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  const auto loser = std::find_if(flows_.rbegin(), flows_.rend(), [&](const Flow& flow) {
    return per_socket_.at(flow.inside) == most->second;
  });
  counters_.Add(NetCounter::kLimitUdpFlows);
  Remove(std::prev(loser.base()));
}

void DatagramFlows::GiveUpPort(uint16_t port) {
  const auto found = std::find_if(flows_.begin(), flows_.end(),
                                  [port](const Flow& flow) { return flow.own_port == port; });
  if (found != flows_.end()) Remove(found);
}

void DatagramFlows::OnError(const Flow& flow, int error) {
  if (error == 0 || error == EAGAIN || error == ENOBUFS || error == EMSGSIZE) return;
  counters_.Add(error == ECONNREFUSED ? NetCounter::kRefusedUpstream
                                      : NetCounter::kUnreachableUpstream);
  SendRawUnreachable(flow.raw, ReasonFor(error), flow.inside, flow.foreign);
}

void DatagramFlows::Touch(Place flow) {
  flow->used = EventLoop::Clock::now();
  flows_.splice(flows_.begin(), flows_, flow);
}

void DatagramFlows::Remove(Place flow) {
  loop_.Unwatch(flow->socket.get());
  index_.erase({flow->inside, flow->foreign});
  const auto count = per_socket_.find(flow->inside);
  if (--count->second == 0) per_socket_.erase(count);
  flows_.erase(flow);
}

void DatagramFlows::SetLimit(uint64_t flows) {
  limit_ = flows == 0 ? kMostFlows : std::min<uint64_t>(flows, kMostFlows);
  while (flows_.size() > limit_) MakeRoom();
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
