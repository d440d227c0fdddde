#include "tenants/published_ports.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <optional>
#include <sstream>

#include "base/files.h"

namespace bailey::tenants {
namespace {

constexpr std::string_view kListen = "0A", kUnconnected = "07";

template <class Number>
std::optional<Number> FromText(std::string_view text, int base) {
  Number number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// "0200004D:0050": words of the address as the CPU reads them, and the port.
std::optional<Endpoint> ParseHexEndpoint(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon != 8 && colon != 32) return std::nullopt;
  const auto port = FromText<uint16_t>(text.substr(colon + 1), 16);
  std::array<uint8_t, 16> bytes{};
  for (size_t i = 0; i < colon / 8; ++i) {
    const auto word = FromText<uint32_t>(text.substr(i * 8, 8), 16);
    if (!word) return std::nullopt;
    std::memcpy(bytes.data() + i * 4, &*word, sizeof *word);
  }
  if (!port) return std::nullopt;
  if (colon == 32) return Endpoint{IpAddress::V6(bytes), *port};
  uint32_t network = 0;
  std::memcpy(&network, bytes.data(), sizeof network);
  return Endpoint{IpAddress::V4(ntohl(network)), *port};
}

// The inode in "socket:[1234]".
std::optional<uint64_t> SocketInode(const std::filesystem::path& link) {
  std::array<char, 64> target{};
  const ssize_t length = ::readlink(link.c_str(), target.data(), target.size());
  constexpr std::string_view kPrefix = "socket:[";
  if (length <= 0) return std::nullopt;
  std::string_view text(target.data(), static_cast<size_t>(length));
  if (!text.starts_with(kPrefix) || !text.ends_with(']')) return std::nullopt;
  text.remove_prefix(kPrefix.size());
  text.remove_suffix(1);
  return FromText<uint64_t>(text, 10);
}

}  // namespace

void ParseSocketTable(std::string_view table, Transport transport,
                      std::map<uint64_t, ServingSocket>& out) {
  std::istringstream lines{std::string(table)};
  std::string line;
  std::getline(lines, line);  // the heading
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string number, local, remote, state, queues, timer, retransmits, uid, timeout, inode;
    words >> number >> local >> remote >> state >> queues >> timer >> retransmits >> uid >>
        timeout >> inode;
    if (state != (transport == Transport::kTcp ? kListen : kUnconnected)) continue;
    const auto where = ParseHexEndpoint(local);
    const auto id = FromText<uint64_t>(inode, 10);
    if (where && id) out[*id] = {transport, *where};
  }
}

std::map<uint64_t, ServingSocket> ServingSockets() {
  std::map<uint64_t, ServingSocket> found;
  for (const auto& [path, transport] :
       {std::pair("/proc/net/tcp", Transport::kTcp), std::pair("/proc/net/tcp6", Transport::kTcp),
        std::pair("/proc/net/udp", Transport::kUdp), std::pair("/proc/net/udp6", Transport::kUdp)})
    if (const auto table = ReadFile(path, 64 << 20)) ParseSocketTable(*table, transport, found);
  return found;
}

std::vector<PublishedPort> PublishedPorts(const std::map<uint64_t, ServingSocket>& serving,
                                          const IpAddress& ip, pid_t pid) {
  std::set<PublishedPort> ports;
  std::error_code failed;
  const std::filesystem::path fds = "/proc/" + std::to_string(pid) + "/fd";
  for (const auto& entry : std::filesystem::directory_iterator(fds, failed)) {
    const auto inode = SocketInode(entry.path());
    if (!inode) continue;
    const auto socket = serving.find(*inode);
    if (socket != serving.end() && socket->second.place.address == ip)
      ports.insert({socket->second.transport, socket->second.place.port});
  }
  return {ports.begin(), ports.end()};
}

}  // namespace bailey::tenants
