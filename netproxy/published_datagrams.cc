#include "netproxy/published_datagrams.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "netproxy/raw_packet.h"

namespace bailey::netproxy {
namespace {

using std::chrono::seconds;
constexpr seconds kBetweenSweeps{10};
constexpr int kBatchesPerTurn = 4;
constexpr uint16_t kFirstSubstitute = 1024;

bailey_guest KeyOf(const Guest& guest) {
  bailey_guest key{};
  std::memcpy(key.address, guest.seen.address.bytes().data(),
              static_cast<size_t>(guest.seen.address.bits() / 8));
  key.port = guest.seen.port;
  key.own_port = guest.port;
  key.v6 = guest.seen.address.is_v6() ? 1 : 0;
  return key;
}

}  // namespace

PublishedDatagrams::PublishedDatagrams(EventLoop& loop, CounterPage<NetCounter>& counters,
                                       Gatekeeper& gatekeeper, DatagramBatch& batch,
                                       Options options)
    : loop_(loop),
      counters_(counters),
      gatekeeper_(gatekeeper),
      batch_(batch),
      options_(std::move(options)),
      guests_(BAILEY_MOST_GUESTS, [this](const Guest& guest) {
        if (guest.listed) options_.let_answer(KeyOf(guest), false);
      }) {}

PublishedDatagrams::~PublishedDatagrams() {
  for (const auto& [port, socket] : sockets_) loop_.Unwatch(socket.get());
  guests_.RemoveIf([](const Guest&) { return true; });
  loop_.Cancel(sweep_);
}

Status PublishedDatagrams::Publish(uint16_t port, UniqueFd socket) {
  const int fd = socket.get();
  if (::fcntl(fd, F_SETFL, O_NONBLOCK) != 0) return Errno("published UDP socket");
  BAILEY_TRY(ReportErrors(fd, options_.tenant_ip.family()));
  BAILEY_TRY(loop_.Watch(fd, EPOLLIN, [this, port](uint32_t events) { OnEvents(port, events); }));
  sockets_[port] = std::move(socket);
  return {};
}

void PublishedDatagrams::Withdraw(uint16_t port) {
  const auto found = sockets_.find(port);
  if (found == sockets_.end()) return;
  loop_.Unwatch(found->second.get());
  sockets_.erase(found);
  guests_.RemoveIf([port](const Guest& guest) { return guest.port == port; });
}

void PublishedDatagrams::Rest() {
  for (const auto& [port, socket] : sockets_) loop_.Unwatch(socket.get());
  sockets_.clear();
  loop_.Cancel(std::exchange(sweep_, 0));
}

void PublishedDatagrams::OnEvents(uint16_t port, uint32_t events) {
  const int socket = sockets_.at(port).get();
  if ((events & EPOLLERR) != 0) OnErrors(port, socket);
  for (int i = 0; i < kBatchesPerTurn; ++i) {
    const auto datagrams = batch_.Receive(socket);
    if (!datagrams) return;
    OnDatagrams(port, *datagrams);
    if (datagrams->size() < DatagramBatch::kMost) return;
  }
}

void PublishedDatagrams::OnDatagrams(uint16_t port, std::span<const Datagram> datagrams) {
  const Endpoint own{options_.tenant_ip, port};
  std::array<RawDatagram, DatagramBatch::kMost> inside;
  size_t count = 0;
  for (const Datagram& each : datagrams) {
    Guest* const guest = Know(port, each.from);
    guests_.Came(guest);
    inside[count++] = {guest->seen, own, each.payload};
  }
  counters_.Add(NetCounter::kDatagramsIn, count);
  SendRawDatagrams(options_.raw, {inside.data(), count});
}

Guest* PublishedDatagrams::Know(uint16_t port, const Endpoint& real) {
  if (Guest* const guest = guests_.FindReal(port, real, EventLoop::Clock::now())) return guest;
  return Add({.port = port, .real = real, .seen = SeenInside(port, real)});
}

Guest* PublishedDatagrams::Add(const Guest& guest) {
  bool evicted = false;
  Guest* const added = guests_.Add(guest, EventLoop::Clock::now(), &evicted);
  if (evicted) counters_.Add(NetCounter::kLimitUdpFlows);
  LetAnswer(*added);
  if (sweep_ == 0) sweep_ = loop_.After(kBetweenSweeps, [this] { Sweep(); });
  return added;
}

Endpoint PublishedDatagrams::SeenInside(uint16_t port, const Endpoint& real) const {
  static const IpAddress substitute4 = *IpAddress::Parse("192.0.0.8"),
                         substitute6 = *IpAddress::Parse("100::8");
  if (!gatekeeper_.policy().StaysInside(real.address)) return real;
  Endpoint seen{real.address.is_v6() ? substitute6 : substitute4, real.port};
  // Two such senders may have the same port. There are more ports than guests.
  while (guests_.HasSeen(port, seen))
    seen.port = seen.port == 65535 ? kFirstSubstitute : static_cast<uint16_t>(seen.port + 1);
  return seen;
}

bool PublishedDatagrams::Denied(const Endpoint& seen) const {
  return gatekeeper_.policy().Judge(seen).verdict != Verdict::kAllow;
}

// Most are allowed anyhow, and need no place in the kernel's table.
void PublishedDatagrams::LetAnswer(Guest& guest) {
  if (guest.listed || !Denied(guest.seen)) return;
  guest.listed = true;
  options_.let_answer(KeyOf(guest), true);
}

void PublishedDatagrams::Send(uint16_t port, const Endpoint& to, std::span<const Bytes> payloads) {
  const int socket = sockets_.at(port).get();
  Guest* guest = guests_.FindSeen(port, to, EventLoop::Clock::now());
  if (guest == nullptr) guest = Add({.port = port, .real = to, .seen = to});
  guests_.Went(guest);
  std::vector<OutgoingDatagram> datagrams;
  datagrams.reserve(payloads.size());
  for (const Bytes payload : payloads) datagrams.push_back({guest->real, payload});
  int error = 0;
  counters_.Add(NetCounter::kDatagramsOut, SendAll(socket, datagrams, error));
  // What waits in the error queue is told from there, by name.
  if (error == EAGAIN || error == ENOBUFS || error == ECONNREFUSED || error == 0) return;
  SendRawUnreachable(options_.raw, ReasonFor(error), {options_.tenant_ip, port}, to);
}

void PublishedDatagrams::OnErrors(uint16_t port, int socket) {
  for (int i = 0; i < kBatchesPerTurn * 8; ++i) {
    int error = 0;
    const auto real = NextError(socket, error);
    if (!real) return;
    Guest* const guest = guests_.FindReal(port, *real, EventLoop::Clock::now());
    if (guest == nullptr || error == 0 || error == EMSGSIZE) continue;
    counters_.Add(error == ECONNREFUSED ? NetCounter::kRefusedUpstream
                                        : NetCounter::kUnreachableUpstream);
    SendRawUnreachable(options_.raw, ReasonFor(error), {options_.tenant_ip, port}, guest->seen);
  }
}

void PublishedDatagrams::ApplyPolicy() {
  guests_.RemoveIf([this](const Guest& guest) { return !guest.came && Denied(guest.seen); });
  guests_.ForEach([this](Guest& guest) { LetAnswer(guest); });
}

void PublishedDatagrams::Sweep() {
  guests_.Expire(EventLoop::Clock::now());
  sweep_ = guests_.size() == 0 ? 0 : loop_.After(kBetweenSweeps, [this] { Sweep(); });
}

}  // namespace bailey::netproxy
