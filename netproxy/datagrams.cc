#include "netproxy/datagrams.h"

#include <algorithm>
#include <array>

#include "base/log.h"
#include "netproxy/raw_packet.h"

namespace bailey::netproxy {
namespace {

constexpr int kBatchesPerTurn = 4;

}  // namespace

Status Datagrams::Serve(int capturing, int raw) {
  return loop_.Watch(capturing, EPOLLIN,
                     [this, capturing, raw](uint32_t) { OnReadable(capturing, raw); });
}

void Datagrams::OnReadable(int capturing, int raw) {
  for (int i = 0; i < kBatchesPerTurn; ++i) {
    const auto datagrams = batch_.Receive(capturing);
    if (!datagrams) return;
    std::array<Bytes, DatagramBatch::kMost> run;
    for (size_t first = 0, next = 0; first < datagrams->size(); first = next) {
      const Datagram& one = (*datagrams)[first];
      for (next = first; next < datagrams->size(); ++next) {
        const Datagram& other = (*datagrams)[next];
        if (other.from != one.from || other.to != one.to) break;
        run[next - first] = other.payload;
      }
      OnDatagrams(raw, one.from, one.to, {run.data(), next - first});
    }
    if (datagrams->size() < DatagramBatch::kMost) return;
  }
}

void Datagrams::OnDatagrams(int raw, const Endpoint& from, const Endpoint& to,
                            std::span<Bytes> all) {
  if (!gatekeeper_.SourceIsTenants(from.address)) return;
  if (gatekeeper_.IsDnsStub(to)) {
    for (const Bytes query : all) AskDns(raw, from, to, query);
    return;
  }
  std::span<const Bytes> payloads(all.begin(),
                                  std::remove_if(all.begin(), all.end(), [this](Bytes each) {
                                    return !relays_.TakeDatagram(Relay::kInside, each.size());
                                  }));
  const bool published =
      from.address == gatekeeper_.policy().config().ip && ways_.published.Has(from.port);
  if (published) payloads = payloads.subspan(ways_.published.Answer(from.port, to, payloads));
  // What was begun before the port was published goes on as it was.
  if (payloads.empty() || ways_.flows.GoOn(from, to, payloads)) return;
  if (!gatekeeper_.AllowsUdp(from, to)) {
    SendRawUnreachable(raw, Unreachable::kProhibited, from, to);
    return;
  }
  if (published) return ways_.published.Send(from.port, to, payloads);
  ways_.flows.Begin(raw, from, to, payloads);
}

void Datagrams::AskDns(int raw, const Endpoint& from, const Endpoint& to, Bytes query) {
  ways_.ask_dns(query, [raw, from, to](Bytes answer) {
    if (const Status sent = SendRawDatagram(raw, to, from, answer); !sent)
      LogWarning(sent.error().Message());
  });
}

}  // namespace bailey::netproxy
