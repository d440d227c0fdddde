// Messages with descriptors over a SOCK_SEQPACKET Unix socket: how Bailey's processes talk.
// A message is a short text (JSON by convention) and up to kMaxMessageFds descriptors. Boundaries
// are the kernel's, so there is no framing to get wrong.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey {

inline constexpr size_t kMaxMessageBytes = 65536;
inline constexpr size_t kMaxMessageFds = 64;

struct Message {
  std::string text;
  std::vector<UniqueFd> fds;
};

struct MessagePair {
  UniqueFd ours, theirs;
};

// A connected pair, both close-on-exec and blocking.
Result<MessagePair> MakeMessagePair();
// EMSGSIZE above the limits; EAGAIN on a full non-blocking socket. Never raises SIGPIPE.
Status SendMessage(int socket, std::string_view text, const std::vector<int>& fds = {});
// Blocks unless the socket is non-blocking (EAGAIN). EPIPE when the peer has closed. A truncated
// message, or one with truncated descriptors, is EMSGSIZE and what arrived of it is closed.
Result<Message> ReceiveMessage(int socket);

// A listening SEQPACKET socket at a path (a stale one is replaced), and a connection to one.
Result<UniqueFd> ListenAt(const std::string& path, mode_t mode);
Result<UniqueFd> ConnectTo(const std::string& path);

}  // namespace bailey
