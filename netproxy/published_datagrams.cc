#include "netproxy/published_datagrams.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

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

// What a program of the host's shows as.
const IpAddress& Substitute(bool v6) {
  static const IpAddress substitute4 = *IpAddress::Parse("192.0.0.8"),
                         substitute6 = *IpAddress::Parse("100::8");
  return v6 ? substitute6 : substitute4;
}

}  // namespace

PublishedDatagrams::PublishedDatagrams(EventLoop& loop, CounterPage<NetCounter>& counters,
                                       Gatekeeper& gatekeeper, RelayTable& relays,
                                       DatagramBatch& batch, Options options)
    : loop_(loop),
      counters_(counters),
      gatekeeper_(gatekeeper),
      relays_(relays),
      batch_(batch),
      options_(std::move(options)),
      guests_(BAILEY_MOST_GUESTS, [this](const Guest& guest) {
        if (guest.standing == Standing::kAnswered) options_.let_answer(KeyOf(guest), false);
      }) {}

PublishedDatagrams::~PublishedDatagrams() {
  for (const auto& [port, socket] : sockets_) loop_.Unwatch(socket.get());
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
  guests_.Forget();
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
    // It would pass for a program of the host's, and nobody has that address.
    if (each.from.address == Substitute(each.from.address.is_v6())) continue;
    if (!relays_.TakeDatagram(Relay::kOutside, each.payload.size())) continue;
    Guest* const guest = Know(port, each.from);
    guests_.Came(guest, EventLoop::Clock::now());
    inside[count++] = {guest->seen, own, each.payload};
  }
  counters_.Add(NetCounter::kDatagramsIn, count);
  SendRawDatagrams(options_.raw, {inside.data(), count});
}

Guest* PublishedDatagrams::Know(uint16_t port, const Endpoint& real) {
  if (Guest* const guest = guests_.FindReal(port, real)) return guest;
  return Add({.port = port, .real = real, .seen = SeenInside(port, real)});
}

Guest* PublishedDatagrams::Add(const Guest& guest) {
  bool evicted = false;
  Guest* const added = guests_.Add(guest, EventLoop::Clock::now(), &evicted);
  if (evicted) counters_.Add(NetCounter::kLimitUdpFlows);
  Judge(*added);
  if (sweep_ == 0) sweep_ = loop_.After(kBetweenSweeps, [this] { Sweep(); });
  return added;
}

Endpoint PublishedDatagrams::SeenInside(uint16_t port, const Endpoint& real) {
  if (!gatekeeper_.policy().StaysInside(real.address)) return real;
  Endpoint seen{Substitute(real.address.is_v6()), real.port};
  // Two such senders may have the same port. There are more ports than guests.
  while (guests_.FindSeen(port, seen) != nullptr)
    seen.port = seen.port == 65535 ? kFirstSubstitute : static_cast<uint16_t>(seen.port + 1);
  return seen;
}

Standing PublishedDatagrams::StandingOf(const Guest& guest) const {
  if (guest.seen != guest.real) return Standing::kAnswered;  // a program of the host's
  if (gatekeeper_.policy().Judge(guest.seen).verdict == Verdict::kAllow) return Standing::kAllowed;
  return gatekeeper_.MayAnswer({options_.tenant_ip, guest.port}, guest.real)
             ? Standing::kAnswered
             : Standing::kUnanswered;
}

// Most are allowed anyhow, and need no place in the kernel's table.
void PublishedDatagrams::Judge(Guest& guest) {
  const Standing before = std::exchange(guest.standing, StandingOf(guest));
  const bool answered = guest.standing == Standing::kAnswered;
  if (answered != (before == Standing::kAnswered)) options_.let_answer(KeyOf(guest), answered);
}

size_t PublishedDatagrams::Answer(uint16_t port, const Endpoint& to,
                                  std::span<const Bytes> payloads) {
  Guest* const guest = guests_.FindSeen(port, to);
  if (guest == nullptr) return 0;
  const size_t taken = guests_.Take(guest, payloads.size(), EventLoop::Clock::now());
  SendTo(*guest, payloads.first(taken));
  return taken;
}

void PublishedDatagrams::Send(uint16_t port, const Endpoint& to, std::span<const Bytes> payloads) {
  Guest* guest = guests_.FindSeen(port, to);
  if (guest == nullptr) guest = Add({.port = port, .real = to, .seen = to});
  guests_.Went(guest, EventLoop::Clock::now());
  SendTo(*guest, payloads);
}

void PublishedDatagrams::SendTo(const Guest& guest, std::span<const Bytes> payloads) {
  int error = 0;
  counters_.Add(NetCounter::kDatagramsOut,
                SendAll(sockets_.at(guest.port).get(), &guest.real, payloads, error));
  if (error == 0 || error == EAGAIN || error == ENOBUFS) return;
  SendRawUnreachable(options_.raw, ReasonFor(error), {options_.tenant_ip, guest.port}, guest.seen);
}

void PublishedDatagrams::OnErrors(uint16_t port, int socket) {
  for (int i = 0; i < kBatchesPerTurn * 8; ++i) {
    int error = 0;
    const auto real = NextError(socket, error);
    if (!real) return;
    const Guest* const guest = guests_.FindReal(port, *real);
    if (guest == nullptr || error == 0 || error == EMSGSIZE) continue;
    counters_.Add(error == ECONNREFUSED ? NetCounter::kRefusedUpstream
                                        : NetCounter::kUnreachableUpstream);
    SendRawUnreachable(options_.raw, ReasonFor(error), {options_.tenant_ip, port}, guest->seen);
  }
}

void PublishedDatagrams::ApplyPolicy() {
  guests_.ForEach([this](Guest& guest) { Judge(guest); });
  guests_.RemoveIf(
      [](const Guest& guest) { return !guest.came && guest.standing != Standing::kAllowed; });
}

void PublishedDatagrams::Sweep() {
  guests_.Expire(EventLoop::Clock::now());
  sweep_ = guests_.size() == 0 ? 0 : loop_.After(kBetweenSweeps, [this] { Sweep(); });
}

}  // namespace bailey::netproxy
