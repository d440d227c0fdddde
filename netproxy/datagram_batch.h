// DatagramBatch: datagrams of one socket, many with one system call. One is enough for a proxy:
// nobody keeps what is in it. Its memory is the kernel's to give as it is used. Not thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ip_address.h"
#include "base/result.h"

namespace bailey::netproxy {

struct Datagram {
  Endpoint from;
  Endpoint to;  // where the sender meant it to go, if the socket has IP_RECVORIGDSTADDR
  std::span<const uint8_t> payload;
};

class DatagramBatch {
 public:
  static constexpr size_t kMost = 32;

  // Aborts without memory.
  DatagramBatch();
  ~DatagramBatch();
  DatagramBatch(const DatagramBatch&) = delete;
  DatagramBatch& operator=(const DatagramBatch&) = delete;

  // What waits at `socket`, without waiting; valid until the next call. Errors: errno of recvmmsg,
  // EAGAIN when there is nothing.
  Result<std::span<const Datagram>> Receive(int socket);

 private:
  uint8_t* memory_;
  std::vector<Datagram> datagrams_;
};

// Has ICMP errors about what `socket` sends put into its error queue, the soft ones too, which say
// whom they are about. They show as EPOLLERR until they are taken out.
Status ReportErrors(int socket, int family);
// The next of them: where that went, and its errno. EAGAIN if none waits.
Result<Endpoint> NextError(int socket, int& error);

// Sends `payloads` by `socket`, to `to`, or where it is connected to if that is null, with as few
// calls as can be. Returns how many were taken; `error` is the first refusal's errno, or 0. A
// refusal costs one datagram; what the socket was told of an earlier one costs none.
size_t SendAll(int socket, const Endpoint* to, std::span<const std::span<const uint8_t>> payloads,
               int& error);

}  // namespace bailey::netproxy
