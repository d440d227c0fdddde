// Pings of the tenant's: answered by the real host, or not at all.
#include <gtest/gtest.h>
#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>

#include <array>
#include <cstring>

#include "base/files.h"
#include "base/namespaces.h"
#include "netproxy/echo_packet.h"
#include "tests/ns/netproxy_world.h"

namespace bailey::netproxy {
namespace {

constexpr char kTenantIp6[] = "2001:db8:113::7", kWorldIp6[] = "2001:db8:113::200";

std::string Request(int family, uint16_t sequence, const std::string& data) {
  std::string text(8, '\0');
  text[0] = static_cast<char>(family == AF_INET6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO);
  text[6] = static_cast<char>(sequence >> 8);
  text[7] = static_cast<char>(sequence & 0xff);
  return text + data;
}

struct Answer {
  std::string message;
  Endpoint from;
  int hops = -1;
};

Answer ReceiveAnswer(const UniqueFd& socket) {
  std::array<char, 4096> buffer{};
  alignas(cmsghdr) std::array<char, 128> control{};
  sockaddr_storage address{};
  iovec part{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = sizeof address;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  Answer answer;
  const ssize_t got = ::recvmsg(socket.get(), &message, 0);
  EXPECT_GE(got, 0) << "errno " << errno;
  if (got < 0) return answer;
  answer.message.assign(buffer.data(), static_cast<size_t>(got));
  answer.from = Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address));
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c))
    if ((c->cmsg_level == SOL_IP && c->cmsg_type == IP_TTL) ||
        (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_HOPLIMIT))
      std::memcpy(&answer.hops, CMSG_DATA(c), sizeof answer.hops);
  return answer;
}

void Turn(const UniqueFd& socket, int level, int option, int value = 1) {
  ASSERT_EQ(::setsockopt(socket.get(), level, option, &value, sizeof value), 0) << option;
}

bool HearsNothing(const UniqueFd& socket) {
  pollfd waiting{socket.get(), POLLIN, 0};
  return ::poll(&waiting, 1, 500) == 0;
}

// The next ICMP error: its type, and who said so.
std::pair<int, std::string> ReceiveError(const UniqueFd& socket) {
  pollfd waiting{socket.get(), 0, 0};
  ::poll(&waiting, 1, 10'000);
  std::array<char, 512> data{};
  alignas(cmsghdr) std::array<char, 512> control{};
  iovec part{data.data(), data.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (::recvmsg(socket.get(), &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return {-errno, ""};
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_IP && c->cmsg_level != SOL_IPV6) continue;
    sock_extended_err error{};
    std::memcpy(&error, CMSG_DATA(c), sizeof error);
    sockaddr_storage offender{};
    std::memcpy(&offender, CMSG_DATA(c) + sizeof error,
                c->cmsg_level == SOL_IP ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
    return {error.ee_type,
            Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&offender)).address.ToString()};
  }
  return {-1, ""};
}

TEST(Echo, IsAnsweredByTheRealHost) {
  for (const auto& [ip, place] : {std::pair(kTenantIp, kWorldIp), {kTenantIp6, kWorldIp6}})
    InWorld([ip = ip, place = place] {
      const World world({.tenant_ip = ip});
      const int family = At(place, 0).address.family();
      {
        // Another host's hops, so that the kernel inside cannot be who answers.
        auto scope = NetnsScope::Enter(world.world_netns());
        ASSERT_TRUE(scope);
        ASSERT_TRUE(WriteControl(family == AF_INET ? "/proc/sys/net/ipv4/ip_default_ttl"
                                                   : "/proc/sys/net/ipv6/conf/all/hop_limit",
                                 "99"));
        const char* const link = family == AF_INET6 ? "/proc/sys/net/ipv6/conf/host/hop_limit"
                                                    : "/proc/sys/net/ipv4/ip_default_ttl";
        ASSERT_TRUE(WriteControl(link, "99"));
      }
      const UniqueFd one = world.Ping(family), two = world.Ping(family);
      for (const UniqueFd* socket : {&one, &two})
        Turn(*socket, family == AF_INET ? SOL_IP : SOL_IPV6,
             family == AF_INET ? IP_RECVTTL : IPV6_RECVHOPLIMIT);
      for (uint16_t sequence = 1; sequence <= 3; ++sequence)
        for (const UniqueFd* socket : {&one, &two}) {
          const std::string data(size_t{600} * sequence, socket == &one ? 'a' : 'b');
          ASSERT_EQ(SendTo(*socket, At(place, 0), Request(family, sequence, data)), 0);
          const Answer answer = ReceiveAnswer(*socket);
          ASSERT_EQ(answer.message.size(), 8 + data.size());
          EXPECT_EQ(answer.message[0],
                    static_cast<char>(family == AF_INET ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY));
          EXPECT_EQ(answer.message.substr(6), Request(family, sequence, data).substr(6));
          EXPECT_EQ(answer.from.address.ToString(), place);
          EXPECT_EQ(answer.hops, 99);
        }
    });
}

TEST(Echo, NobodyAnswersForAHostThatIsNotThere) {
  InWorld([] {
    const World world;
    const UniqueFd lost = world.Ping(), near = world.Ping();
    ASSERT_EQ(SendTo(lost, At("198.51.100.50", 0), Request(AF_INET, 1, "x")), 0);
    EXPECT_TRUE(HearsNothing(lost));
    Turn(near, SOL_IP, IP_RECVERR);
    ASSERT_EQ(SendTo(near, At("203.0.113.99", 0), Request(AF_INET, 1, "x")), 0);
    EXPECT_EQ(ReceiveError(near).first, ICMP_DEST_UNREACH);
  });
}

TEST(Echo, OneselfAnswers) {
  for (const char* to : {"127.0.0.1", kTenantIp})
    InWorld([to] {
      const World world;
      const UniqueFd socket = world.Ping();
      ASSERT_EQ(SendTo(socket, At(to, 0), Request(AF_INET, 1, "x")), 0);
      EXPECT_EQ(ReceiveAnswer(socket).from.address.ToString(), to);
    });
}

TEST(Echo, WhatRoutersSayIsPassedOn) {
  InWorld([] {
    const World world;
    {
      auto scope = NetnsScope::Enter(world.world_netns());
      ASSERT_TRUE(scope);
      ASSERT_TRUE(WriteControl("/proc/sys/net/ipv4/ip_forward", "1"));
      ASSERT_EQ(std::system("ip route add 198.51.100.64/26 via 203.0.113.1"), 0);
    }
    const UniqueFd socket = world.Ping();
    Turn(socket, SOL_IP, IP_RECVERR);
    Turn(socket, SOL_IP, IP_TTL, 1);
    ASSERT_EQ(SendTo(socket, At("198.51.100.70", 0), Request(AF_INET, 7, "x")), 0);
    EXPECT_EQ(ReceiveError(socket), std::pair(ICMP_TIME_EXCEEDED, std::string("203.0.113.200")));
    ASSERT_EQ(SendTo(socket, At("198.51.100.10", 0), Request(AF_INET, 8, "x")), 0);
    EXPECT_EQ(ReceiveError(socket), std::pair(ICMP_DEST_UNREACH, std::string("203.0.113.200")));
  });
}

TEST(Echo, ThePolicyHolds) {
  InWorld([] {
    const World world;
    const UniqueFd socket = world.Ping();
    Turn(socket, SOL_IP, IP_RECVERR);
    struct {
      const char* to;
      NetCounter counter;
    } const denied[] = {{kHostIp, NetCounter::kDeniedHost},
                        {kPeerIp, NetCounter::kDeniedTenant},
                        {"10.0.0.1", NetCounter::kDeniedPrivate},
                        {"169.254.169.254", NetCounter::kDeniedLinkLocal}};
    for (const auto& each : denied) {
      ASSERT_EQ(SendTo(socket, At(each.to, 0), Request(AF_INET, 1, "x")), 0);
      EXPECT_EQ(ReceiveError(socket), std::pair(ICMP_DEST_UNREACH, std::string(each.to)));
      EXPECT_EQ(world.Count(each.counter), 1U) << each.to;
    }
    // A connect is refused at once.
    EXPECT_EQ(ConnectTo(world.Ping(), At(kHostIp, 0)), EACCES);
  });
}

TEST(Echo, TooLongOnesAreLostNotAnsweredFalsely) {
  InWorld([] {
    const World world;
    const UniqueFd socket = world.Ping();
    EXPECT_EQ(SendTo(socket, At(kWorldIp, 0), Request(AF_INET, 1, std::string(4000, 'x'))),
              ENOBUFS);
    EXPECT_TRUE(HearsNothing(socket));
  });
}

TEST(Echo, ManyProgramsPingAtOnce) {
  InWorld([] {
    const World world;
    for (int i = 0; i < 600; ++i) {  // more than there are flows
      const UniqueFd socket = world.Ping();
      ASSERT_EQ(SendTo(socket, At(kWorldIp, 0), Request(AF_INET, 1, std::to_string(i))), 0);
      EXPECT_EQ(ReceiveAnswer(socket).message.substr(8), std::to_string(i));
    }
    EXPECT_GT(world.Count(NetCounter::kLimitUdpFlows), 100u);
  });
}

TEST(EchoPacket, ReadsNothingOutOfBounds) {
  std::vector<uint8_t> packet(60, 0);
  for (const uint8_t first : {0x45, 0x4f, 0x40, 0x60, 0x00})
    for (size_t size = 0; size <= packet.size(); ++size) {
      packet[0] = first;
      packet[9] = IPPROTO_ICMP;
      packet[6] = first == 0x60 ? static_cast<uint8_t>(IPPROTO_ICMPV6) : uint8_t{0};
      packet[20] = ICMP_ECHO;
      packet[40] = ICMP6_ECHO_REQUEST;
      const std::vector<uint8_t> exact(packet.begin(), packet.begin() + static_cast<long>(size));
      const auto request = EchoRequest::Parse(exact);
      EXPECT_TRUE(!request || request->icmp.size() >= 8);
      std::vector<uint8_t> error = {ICMP_DEST_UNREACH, 0, 0, 0, 0, 0, 0, 0};
      error.insert(error.end(), exact.begin(), exact.end());
      const auto response = EchoResponse::Parse(IpAddress::V4(1), error);
      EXPECT_TRUE(!response || response->id_offset + 2 <= error.size());
      EchoResponse::Parse(IpAddress::V4(1), exact);
      EchoResponse::Parse(IpAddress::V6({}), error);
    }
}

}  // namespace
}  // namespace bailey::netproxy
