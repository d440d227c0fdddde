#include "netproxy/dns_frames.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstddef>

namespace bailey::netproxy {
namespace {

constexpr size_t kLengthBytes = 2;

bool WouldBlock() { return errno == EAGAIN || errno == EINTR; }

}  // namespace

size_t DnsFrames::Missing() const {
  if (incoming_.size() < kLengthBytes) return kLengthBytes - incoming_.size();
  const size_t whole = kLengthBytes + static_cast<size_t>(incoming_[0] << 8 | incoming_[1]);
  return whole - incoming_.size();
}

bool DnsFrames::Read(int fd) {
  while (const size_t missing = Missing()) {
    const size_t have = incoming_.size();
    incoming_.resize(have + missing);
    const ssize_t got = ::recv(fd, incoming_.data() + have, missing, MSG_DONTWAIT);
    incoming_.resize(have + (got > 0 ? static_cast<size_t>(got) : 0));
    if (got == 0) return false;
    if (got < 0) return WouldBlock();
  }
  return true;
}

std::optional<DnsBytes> DnsFrames::Take() {
  if (Missing() != 0) return std::nullopt;
  DnsBytes message(incoming_.begin() + kLengthBytes, incoming_.end());
  incoming_.clear();
  return message;
}

void DnsFrames::Put(DnsView message) {
  outgoing_.push_back(static_cast<uint8_t>(message.size() >> 8));
  outgoing_.push_back(static_cast<uint8_t>(message.size()));
  outgoing_.insert(outgoing_.end(), message.begin(), message.end());
}

bool DnsFrames::Write(int fd) {
  while (!outgoing_.empty()) {
    const ssize_t sent =
        ::send(fd, outgoing_.data(), outgoing_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return WouldBlock();
    outgoing_.erase(outgoing_.begin(), outgoing_.begin() + sent);
  }
  return true;
}

}  // namespace bailey::netproxy
