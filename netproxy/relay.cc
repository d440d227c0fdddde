#include "netproxy/relay.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "netproxy/tcp_options.h"

namespace bailey::netproxy {
namespace {

constexpr int kStepsPerTurn = 16;                       // then other connections have theirs
constexpr size_t kBulkAfterBytes = size_t{256} * 1024;  // of full reads in a row
constexpr size_t kFullRead = RelayResources::kBufferBytes / 4;
constexpr size_t kFullSplice = size_t{16} * 1024;
constexpr int kShortSplices = 8;  // in a row: back to copying

size_t Other(size_t side) { return 1 - side; }

}  // namespace

Relay::Relay(Direction direction, UniqueFd inside, UniqueFd outside, RelayResources& resources)
    : direction_(direction), resources_(resources) {
  sides_[kInside].fd = std::move(inside);
  sides_[kOutside].fd = std::move(outside);
  const size_t dialed = direction == Direction::kOut ? kOutside : kInside;
  SetRelayOptions(sides_[dialed].fd.get());
  const int accepted = sides_[Other(dialed)].fd.get();
  if (!HasRelayOptions(accepted)) SetRelayOptions(accepted);
}

Relay::~Relay() {
  for (const size_t from : {kInside, kOutside})
    if (flows_[from].waits) resources_.bandwidth[from]->Forget(this);
  for (Flow& flow : flows_) {
    DropSpill(flow);
    if (!flow.pipe) continue;
    if (flow.in_pipe == 0)
      resources_.pipes.Return(std::move(flow.pipe));
    else
      resources_.pipes.Forget();
  }
}

Relay::State Relay::OnEvents(size_t side, uint32_t events) {
  Side& at = sides_[side];
  active_ = true;
  if ((events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) at.readable = true;
  if ((events & (EPOLLOUT | EPOLLERR)) != 0) at.writable = true;
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLPRI)) != 0) at.short_reads_lie = true;
  if ((events & EPOLLOUT) != 0 && (events & (EPOLLERR | EPOLLHUP)) == 0) at.connected = true;
  State state = PumpBoth();
  if ((events & EPOLLERR) == 0) return state;
  // What arrived before the reset goes on as far as the other side takes it at once.
  while (state == State::kMoreToDo) state = PumpBoth();
  if (state == State::kClosed) return state;
  const int error = SocketError(at.fd.get());
  if (error == 0) return state;
  Fail(side, error);
  return State::kClosed;
}

Relay::State Relay::Continue() {
  active_ = true;
  return PumpBoth();
}

Relay::State Relay::PumpBoth() {
  bool more = false;
  for (const size_t from : {kInside, kOutside})
    if (Pump(from, more) == Step::kClosed) return State::kClosed;
  return more ? State::kMoreToDo : State::kOpen;
}

Relay::Step Relay::Pump(size_t from, bool& more) {
  for (int steps = 0; steps < kStepsPerTurn; ++steps)
    if (const Step step = PumpOnce(from); step != Step::kGoOn) return step;
  more = true;
  return Step::kGoOn;
}

Relay::Step Relay::PumpOnce(size_t from) {
  Flow& flow = flows_[from];
  const Side& to = sides_[Other(from)];
  if (!flow.shut && !to.writable) return Step::kBlocked;
  if (flow.in_pipe > 0) return DrainPipe(from);
  if (!flow.spill.empty()) return DrainSpill(from);
  if (flow.end_of_file) return PassEndOfFile(from);
  if (!sides_[from].readable) return Step::kBlocked;
  size_t most = Bandwidth::kUnlimited;
  if (Bandwidth* const bandwidth = resources_.bandwidth[from].get(); bandwidth != nullptr) {
    most = bandwidth->Grant(this, flow.waits);
    if (most == 0) {
      GivePipeBack(flow);
      return Step::kBlocked;
    }
  }
  return Read(from, most);
}

Relay::Step Relay::Read(size_t from, size_t most) {
  Flow& flow = flows_[from];
  if (flow.bulk && !flow.pipe) {
    flow.pipe = resources_.pipes.Borrow();
    flow.bulk = static_cast<bool>(flow.pipe);
    if (!flow.bulk) flow.full_bytes = 0;
  }
  if (flow.bulk) return Splice(from, most);
  if (resources_.spilled >= RelayResources::kMostSpilled) return CopyByPeeking(from, most);
  return Copy(from, most);
}

Relay::Step Relay::DrainPipe(size_t from) {
  Flow& flow = flows_[from];
  const size_t to = Other(from);
  const ssize_t moved = ::splice(flow.pipe.read_end.get(), nullptr, sides_[to].fd.get(), nullptr,
                                 flow.in_pipe, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (moved < 0) return Blocked(to);
  flow.in_pipe -= static_cast<size_t>(moved);
  CountBytes(from, static_cast<size_t>(moved));
  if (flow.in_pipe == 0 && (!sides_[from].readable || !flow.bulk)) GivePipeBack(flow);
  return Step::kGoOn;
}

Relay::Step Relay::DrainSpill(size_t from) {
  Flow& flow = flows_[from];
  const size_t to = Other(from);
  const ssize_t sent = ::send(sides_[to].fd.get(), flow.spill.data() + flow.spill_begin,
                              flow.spill.size() - flow.spill_begin, MSG_NOSIGNAL);
  if (sent < 0) return Blocked(to);
  CountBytes(from, static_cast<size_t>(sent));
  flow.spill_begin += static_cast<size_t>(sent);
  if (flow.spill_begin == flow.spill.size()) DropSpill(flow);
  return Step::kGoOn;
}

void Relay::Spill(Flow& flow, const char* bytes, size_t size) {
  flow.spill.assign(bytes, bytes + size);
  flow.spill_begin = 0;
  resources_.spilled += size;
}

void Relay::DropSpill(Flow& flow) {
  resources_.spilled -= flow.spill.size();
  flow.spill = {};  // gives the memory back, which clear() would not
  flow.spill_begin = 0;
}

Relay::Step Relay::PassEndOfFile(size_t from) {
  Flow& flow = flows_[from];
  if (flow.shut) return Step::kBlocked;
  flow.shut = true;
  if (flows_[Other(from)].shut) return Step::kClosed;
  ::shutdown(sides_[Other(from)].fd.get(), SHUT_WR);
  return Step::kBlocked;
}

Relay::Step Relay::Splice(size_t from, size_t most) {
  Flow& flow = flows_[from];
  const ssize_t got =
      ::splice(sides_[from].fd.get(), nullptr, flow.pipe.write_end.get(), nullptr,
               std::min<size_t>(PipePool::kPipeBytes, most), SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (got <= 0) return AfterRead(from, got);
  flow.in_pipe = static_cast<size_t>(got);
  Spend(from, flow.in_pipe);
  if (flow.in_pipe >= kFullSplice) {
    flow.short_splices = 0;
  } else if (++flow.short_splices > kShortSplices) {
    flow.bulk = false;
    flow.full_bytes = 0;
  }
  return Step::kGoOn;
}

// At most `most`, into the shared buffer.
ssize_t Relay::Receive(size_t from, size_t most, int flags) {
  Side& source = sides_[from];
  most = std::min(most, RelayResources::kBufferBytes);
  const ssize_t got = ::recv(source.fd.get(), resources_.buffer.data(), most, flags);
  // A short read has drained the socket: the next edge tells of more.
  if (got > 0 && static_cast<size_t>(got) < most && !source.short_reads_lie)
    source.readable = false;
  return got;
}

Relay::Step Relay::Copy(size_t from, size_t most) {
  Flow& flow = flows_[from];
  const size_t to = Other(from);
  const char* const buffer = resources_.buffer.data();
  const ssize_t got = Receive(from, most, 0);
  if (got <= 0) return AfterRead(from, got);
  const auto bytes = static_cast<size_t>(got);
  Spend(from, bytes);
  // Bulk is a burst, not a total: a long connection of short exchanges must never splice.
  flow.full_bytes = bytes < kFullRead ? 0 : flow.full_bytes + bytes;
  if (flow.full_bytes >= kBulkAfterBytes) {
    flow.bulk = true;
    flow.short_splices = 0;
  }
  ssize_t sent = ::send(sides_[to].fd.get(), buffer, bytes, MSG_NOSIGNAL);
  if (sent < 0) {
    if (Blocked(to) == Step::kClosed) return Step::kClosed;
    sent = 0;
  }
  CountBytes(from, static_cast<size_t>(sent));
  if (static_cast<size_t>(sent) < bytes)
    Spill(flow, buffer + sent, bytes - static_cast<size_t>(sent));
  return Step::kGoOn;
}

// Without a place for what the other side does not take: it stays in the socket.
Relay::Step Relay::CopyByPeeking(size_t from, size_t most) {
  const size_t to = Other(from);
  const ssize_t got = Receive(from, most, MSG_PEEK);
  if (got <= 0) return AfterRead(from, got);
  const ssize_t sent =
      ::send(sides_[to].fd.get(), resources_.buffer.data(), static_cast<size_t>(got), MSG_NOSIGNAL);
  if (sent < got) sides_[from].readable = true;  // it has not been drained
  if (sent < 0) return Blocked(to);
  Spend(from, static_cast<size_t>(sent));
  CountBytes(from, static_cast<size_t>(sent));
  // TCP throws away what MSG_TRUNC reads, without copying it (tcp(7)); a Unix socket copies it.
  if (::recv(sides_[from].fd.get(), resources_.buffer.data(), static_cast<size_t>(sent),
             MSG_TRUNC) != sent)
    return Fail(from, ECONNRESET);
  return Step::kGoOn;
}

// `result` of a read that brought nothing: the end, an empty socket, or an error.
Relay::Step Relay::AfterRead(size_t from, ssize_t result) {
  const int error = errno;
  Flow& flow = flows_[from];
  if (result < 0 && error == EINTR) return Step::kGoOn;
  if (result < 0 && error != EAGAIN) return Fail(from, error);
  sides_[from].readable = false;
  GivePipeBack(flow);
  flow.end_of_file = result == 0;
  return Step::kGoOn;
}

// A write to `side` that failed with errno.
Relay::Step Relay::Blocked(size_t side) {
  if (errno == EINTR) return Step::kGoOn;
  if (errno != EAGAIN) return Fail(side, errno);
  sides_[side].writable = false;
  return Step::kBlocked;
}

// One side is gone: the other hears of it as it would from its peer, by a reset.
Relay::Step Relay::Fail(size_t side, int error) {
  if (direction_ == Direction::kOut && side == kOutside && !sides_[side].connected)
    CountFailure(error);
  for (const Side& each : sides_) ResetOnClose(each.fd.get());
  return Step::kClosed;
}

void Relay::GivePipeBack(Flow& flow) {
  if (flow.pipe) resources_.pipes.Return(std::exchange(flow.pipe, {}));
}

void Relay::Spend(size_t from, size_t bytes) {
  if (Bandwidth* const bandwidth = resources_.bandwidth[from].get(); bandwidth != nullptr)
    bandwidth->Spend(bytes);
}

void Relay::CountBytes(size_t from, size_t bytes) {
  resources_.counters->Add(from == kInside ? NetCounter::kBytesOut : NetCounter::kBytesIn, bytes);
}

void Relay::CountFailure(int error) {
  switch (error) {
    case ECONNREFUSED:
    case ECONNRESET:
      return resources_.counters->Add(NetCounter::kRefusedUpstream);
    case ETIMEDOUT:
      return resources_.counters->Add(NetCounter::kTimedOutUpstream);
    default:
      return resources_.counters->Add(NetCounter::kUnreachableUpstream);
  }
}

}  // namespace bailey::netproxy
