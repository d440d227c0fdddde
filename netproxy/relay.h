// Relay: one TCP connection of a tenant, as two sockets and two flows of bytes between them.
//
// Sockets are non-blocking and watched edge-triggered; Relay keeps what the edges said. Short
// exchanges are copied through a buffer that all relays share; after a few full reads in a row a
// flow turns to splice(2) with a pipe of the pool (FACTS: 240 ms CPU per GB instead of 650), and
// back when reads get short. What one side does not take stops the reading of the other: a slow
// reader holds at most one buffer or one pipe, and all of them together kMostSpilled and the pool's
// pipes: after that a relay looks at what it has (MSG_PEEK) and reads only what has gone on.
// End of file passes on as shutdown(SHUT_WR), a reset as a reset. Not thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/counters.h"
#include "base/unique_fd.h"
#include "netproxy/bandwidth.h"
#include "netproxy/pipe_pool.h"

namespace bailey::netproxy {

// What all relays of a proxy share.
struct RelayResources {
  static constexpr size_t kBufferBytes = size_t{64} * 1024;
  static constexpr size_t kMostSpilled = size_t{2} * 1024 * 1024;
  CounterPage<NetCounter>* counters = nullptr;
  PipePool pipes;
  std::vector<char> buffer = std::vector<char>(kBufferBytes);
  size_t spilled = 0;  // bytes that slow readers have not taken, of all relays
  // By the side that is read: kInside what goes out, kOutside what comes in. None: no limit.
  std::array<std::unique_ptr<Bandwidth>, 2> bandwidth;
};

enum class Direction { kIn, kOut };  // who opened the connection: kOut the tenant

class Relay {
 public:
  enum class State { kOpen, kMoreToDo, kClosed };

  // `inside` is the socket in the tenant's network namespace, `outside` the host's. Either may
  // still be connecting.
  Relay(Direction direction, UniqueFd inside, UniqueFd outside, RelayResources& resources);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  static constexpr size_t kInside = 0, kOutside = 1;
  int fd(size_t side) const { return sides_[side].fd.get(); }

  // What epoll said about one side. kMoreToDo: the relay has had its share of this turn; call
  // Continue() when others have had theirs. kClosed: destroy it.
  State OnEvents(size_t side, uint32_t events);
  State Continue();
  // Whether `side` has been writable once.
  bool IsConnected(size_t side) const { return sides_[side].connected; }
  // Whether anything has happened since this was last asked.
  bool TakeActivity() { return std::exchange(active_, false); }

 private:
  struct Side {
    UniqueFd fd;
    bool readable = false, writable = false;
    // Hung up, or with urgent data, at whose mark reads stop: a short read does not mean that the
    // socket is empty.
    bool short_reads_lie = false;
    bool connected = false;  // has been writable once
  };
  struct Flow {
    std::vector<char> spill;  // read and not yet taken by the other side
    size_t spill_begin = 0;
    PipePool::Pipe pipe;
    size_t in_pipe = 0;
    size_t full_bytes = 0;  // in full reads since the last short one
    int short_splices = 0;
    bool bulk = false, end_of_file = false, shut = false;
    bool waits = false;  // for its share of the bandwidth
  };
  enum class Step { kGoOn, kBlocked, kClosed };

  State PumpBoth();
  Step Pump(size_t from, bool& more);
  Step PumpOnce(size_t from);
  Step DrainPipe(size_t from);
  Step DrainSpill(size_t from);
  Step PassEndOfFile(size_t from);
  Step Read(size_t from, size_t most);
  Step Splice(size_t from, size_t most);
  Step Copy(size_t from, size_t most);
  Step CopyByPeeking(size_t from, size_t most);
  ssize_t Receive(size_t from, size_t most, int flags);
  void Spill(Flow& flow, const char* bytes, size_t size);
  void DropSpill(Flow& flow);
  Step AfterRead(size_t from, ssize_t result);
  Step Blocked(size_t side);
  Step Fail(size_t side, int error);
  void GivePipeBack(Flow& flow);
  void Spend(size_t from, size_t bytes);
  void CountBytes(size_t from, size_t bytes);
  void CountFailure(int error);

  const Direction direction_;
  RelayResources& resources_;
  std::array<Side, 2> sides_;
  std::array<Flow, 2> flows_;  // flows_[s] leads away from side s
  bool active_ = true;
};

}  // namespace bailey::netproxy
