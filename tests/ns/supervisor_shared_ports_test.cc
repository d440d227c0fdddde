// Many ports of one address by one listener: the ports of the list, of that address, and no other.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <functional>
#include <vector>

#include "base/published_page.h"
#include "supervisor/proxy_sockets.h"
#include "supervisor/published_sockets.h"
#include "supervisor/shared_ports.h"
#include "tests/support/await.h"
#include "tests/support/in_child.h"
#include "tests/support/sockets.h"

namespace bailey::supervisor {
namespace {

constexpr char kIp[] = "203.0.113.7", kOther[] = "203.0.113.8", kIp6[] = "2001:db8::7";

int Dial(const char* address, uint16_t port) {
  const Endpoint to = At(address, port);
  return ConnectTo(PatientSocket(SOCK_STREAM, to.address.family()), to);
}

// A network namespace of its own whose lo has the addresses above.
void InHost(const std::function<void()>& body) {
  InChild(CLONE_NEWNET, [&] {
    ASSERT_EQ(std::system("ip link set lo up && ip addr add 203.0.113.7/32 dev lo && "
                          "ip addr add 203.0.113.8/32 dev lo && "
                          "ip addr add 2001:db8::7/128 dev lo nodad"),
              0);
    // The way to an IPv6 address of one's own is there a moment after the address.
    ASSERT_TRUE(Await([] { return Dial(kIp6, 1) == ECONNREFUSED; }));
    body();
  });
}

std::unique_ptr<SharedPorts> Share(const char* address) {
  const IpAddress ip = *IpAddress::Parse(address);
  auto listener = MakePublishedSocket(ip, {Transport::kTcp, 0}, 1234);
  auto shared = SharedPorts::Attach(ip, std::move(*listener));
  EXPECT_TRUE(shared) << shared.error().Message();
  return shared ? std::move(*shared) : nullptr;
}

TEST(SharedPorts, LeadToTheListenerWhileTheyAreOnTheList) {
  InHost([] {
    for (const char* address : {kIp, kIp6}) {
      auto shared = Share(address);
      ASSERT_NE(shared, nullptr);
      EXPECT_EQ(Dial(address, 5000), ECONNREFUSED);
      ASSERT_TRUE(shared->Add(5000));
      ASSERT_TRUE(shared->Add(65535));
      const UniqueFd client = PatientSocket(SOCK_STREAM, At(address, 0).address.family());
      ASSERT_EQ(ConnectTo(client, At(address, 5000)), 0);
      const UniqueFd accepted(::accept4(shared->listener(), nullptr, nullptr, SOCK_CLOEXEC));
      EXPECT_EQ(LocalEnd(accepted), At(address, 5000));
      EXPECT_EQ(Dial(address, 65535), 0);
      EXPECT_EQ(Dial(address, 5001), ECONNREFUSED);
      shared->Remove(5000);
      EXPECT_FALSE(shared->Contains(5000));
      EXPECT_EQ(Dial(address, 5000), ECONNREFUSED);
      Send(client, "x");  // what is there goes on
      EXPECT_EQ(Receive(accepted, 1), "x");
      shared.reset();
      EXPECT_EQ(Dial(address, 65535), ECONNREFUSED);
    }
  });
}

TEST(SharedPorts, ThePortOfTheListenerIsNoneOfThem) {
  InHost([] {
    const auto shared = Share(kIp);
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    ASSERT_EQ(::getsockname(shared->listener(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    const uint16_t own = Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address)).port;
    EXPECT_EQ(Dial(kIp, own), ECONNREFUSED);
    ASSERT_TRUE(shared->Add(own));
    EXPECT_EQ(Dial(kIp, own), 0);
  });
}

TEST(SharedPorts, OtherAddressesAreNotTouched) {
  InHost([] {
    const auto shared = Share(kIp);
    const UniqueFd neighbour = PatientSocket(SOCK_STREAM, AF_INET);
    Listen(neighbour, At(kOther, 5000));
    ASSERT_TRUE(shared->Add(5000));
    ASSERT_TRUE(shared->Add(5001));
    ASSERT_EQ(Dial(kOther, 5000), 0);
    EXPECT_TRUE(Accept(neighbour));
    EXPECT_EQ(Dial(kOther, 5001), ECONNREFUSED);
    EXPECT_EQ(Dial("127.0.0.1", 5001), ECONNREFUSED);
    EXPECT_EQ(Dial(kIp6, 5001), ECONNREFUSED);
    const UniqueFd datagram = PatientSocket(SOCK_DGRAM, AF_INET);
    ASSERT_EQ(BindAt(datagram, At(kIp, 5001)), 0);
    const UniqueFd sender = PatientSocket(SOCK_DGRAM, AF_INET);
    EXPECT_EQ(SendTo(sender, At(kIp, 5001), "x"), 0);
    Endpoint from;
    EXPECT_EQ(ReceiveDatagram(datagram, &from), "x");
  });
}

TEST(SharedPorts, APortThatSomebodyHasIsRefused) {
  InHost([] {
    const auto shared = Share(kIp);
    UniqueFd own = PatientSocket(SOCK_STREAM, AF_INET), any = PatientSocket(SOCK_STREAM, AF_INET),
             any6 = PatientSocket(SOCK_STREAM, AF_INET6);
    Listen(own, At(kIp, 5000));
    Listen(any, At("0.0.0.0", 5001));
    Listen(any6, At("::", 5002));
    for (const uint16_t port : {5000, 5001, 5002}) {
      const Status added = shared->Add(port);
      ASSERT_FALSE(added);
      EXPECT_EQ(added.error().Errno(), EADDRINUSE);
      EXPECT_FALSE(shared->Contains(port));
      EXPECT_EQ(Dial(kIp, port), 0);
    }
    EXPECT_TRUE(Accept(own));  // and not the shared one
    own.Reset();
    EXPECT_TRUE(shared->Add(5000));
  });
}

TEST(SharedPorts, HaveRoomFor64TenantsAndSayWhenThereIsNone) {
  InHost([] {
    std::vector<std::unique_ptr<SharedPorts>> all;
    constexpr int kMost = 64;
    all.reserve(kMost);
    for (int i = 0; i < kMost; ++i) all.push_back(Share(kIp));
    const IpAddress ip = *IpAddress::Parse(kIp);
    const auto more =
        SharedPorts::Attach(ip, std::move(*MakePublishedSocket(ip, {Transport::kTcp, 0}, 1234)));
    ASSERT_FALSE(more);
    EXPECT_EQ(more.error().Errno(), E2BIG);
  });
}

class Published : public testing::Test {
 protected:
  Published() : page_(std::move(*PublishedPage::Make())) {}
  PublishedSockets Make() { return PublishedSockets({*IpAddress::Parse(kIp), 1234, -1, &page_}); }
  PublishedPage page_;
};

TEST_F(Published, ManyTcpPortsShareOneSocket) {
  InHost([this] {
    PublishedSockets published = Make();
    for (uint16_t port = 10000; port < 20000; ++port) {
      const auto place = published.Open({Transport::kTcp, port}, true);
      ASSERT_TRUE(place) << place.error().Message();
      ASSERT_EQ(place->shared, port >= 10000 + PublishedSockets::kOwnSockets);
    }
    EXPECT_EQ(published.sockets().size(), PublishedSockets::kOwnSockets);
    EXPECT_EQ(page_.Read().size(), 10000U);
    EXPECT_EQ(Dial(kIp, 10000), 0);
    EXPECT_EQ(Dial(kIp, 19999), 0);
    EXPECT_EQ(Dial(kIp, 20000), ECONNREFUSED);
    // What the host's services are known by, and UDP, has sockets.
    EXPECT_FALSE(published.Open({Transport::kTcp, 1023}, true)->shared);
    EXPECT_FALSE(published.Open({Transport::kUdp, 20000}, true)->shared);
    ASSERT_TRUE(published.Close({Transport::kTcp, 19999}));
    EXPECT_EQ(Dial(kIp, 19999), ECONNREFUSED);
    ASSERT_TRUE(published.Close([](PublishedPort port) { return port.port < 15000; }));
    EXPECT_EQ(Dial(kIp, 10000), ECONNREFUSED);
    EXPECT_EQ(Dial(kIp, 14999), ECONNREFUSED);
    EXPECT_EQ(Dial(kIp, 15000), 0);
    published.Clear();
    EXPECT_EQ(Dial(kIp, 15000), ECONNREFUSED);
    EXPECT_TRUE(page_.Read().empty());
  });
}

TEST_F(Published, WhereThePortIsNotMeantForTheTenantTheHostSeesASocket) {
  InHost([this] {
    PublishedSockets published = Make();
    for (size_t i = 0; i < PublishedSockets::kMostSockets; ++i) {
      const auto port = static_cast<uint16_t>(10000 + i);
      const auto place = published.Open({Transport::kTcp, port}, false);
      ASSERT_TRUE(place) << place.error().Message();
      EXPECT_FALSE(place->shared);
    }
    const auto more = published.Open({Transport::kTcp, 20000}, false);
    ASSERT_FALSE(more);
    EXPECT_EQ(more.error().Errno(), ENOSPC);
    EXPECT_EQ(published.shared_listener(), -1);
  });
}

}  // namespace
}  // namespace bailey::supervisor
