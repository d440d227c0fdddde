#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <set>
#include <string>

#include "base/port_set.h"
#include "base/published_page.h"

namespace bailey {
namespace {

using testing::ElementsAre;

constexpr PublishedPort Tcp(uint16_t port) { return {Transport::kTcp, port}; }
constexpr PublishedPort Udp(uint16_t port) { return {Transport::kUdp, port}; }

std::vector<std::string> Names(const PortSet& ports) {
  std::vector<std::string> names;
  for (const PublishRule& rule : ports.ToRules()) names.push_back(rule.ToString());
  return names;
}

TEST(PortSet, HasWhatWasPutIntoIt) {
  PortSet ports;
  EXPECT_TRUE(ports.empty());
  EXPECT_FALSE(ports.Contains(Tcp(0)));
  EXPECT_FALSE(ports.Erase(Tcp(80)));
  EXPECT_FALSE(ports.First());
  const std::set<PublishedPort> there = {Tcp(0), Tcp(63), Tcp(64),   Tcp(65535),
                                         Udp(0), Udp(63), Udp(1000), Udp(65535)};
  for (const PublishedPort port : there) EXPECT_TRUE(ports.Insert(port));
  EXPECT_FALSE(ports.Insert(Udp(1000)));
  EXPECT_EQ(ports.size(), there.size());
  for (int port = 0; port <= 65535; ++port)
    for (const Transport transport : {Transport::kTcp, Transport::kUdp}) {
      const PublishedPort at{transport, static_cast<uint16_t>(port)};
      ASSERT_EQ(ports.Contains(at), there.contains(at)) << at.ToString();
    }
  std::set<PublishedPort> seen;
  ports.ForEach([&](PublishedPort port) {
    seen.insert(port);
    ports.Erase(port);
  });
  EXPECT_EQ(seen, there);
  EXPECT_TRUE(ports.empty());
}

TEST(PortSet, RunsAreRules) {
  PortSet ports;
  EXPECT_THAT(Names(ports), ElementsAre());
  for (const uint16_t port : {80, 81, 443, 10000, 10001, 10002, 65535}) ports.Insert(Tcp(port));
  for (const uint16_t port : {0, 1, 2, 53}) ports.Insert(Udp(port));
  EXPECT_THAT(Names(ports),
              ElementsAre("80", "81", "443", "10000-10002", "65535", "0-2/udp", "53/udp"));
}

TEST(PublishedPage, IsReadByOthersAndWrittenByItsMakerAlone) {
  auto page = PublishedPage::Make();
  ASSERT_TRUE(page) << page.error().Message();
  const auto reader = PublishedPage::Map(page->fd());
  ASSERT_TRUE(reader) << reader.error().Message();
  page->Set(Tcp(80), true);
  page->Set(Tcp(81), true);
  page->Set(Udp(53), true);
  page->Set(Tcp(81), false);
  EXPECT_THAT(Names(reader->Read()), ElementsAre("80", "53/udp"));
  page->Clear();
  EXPECT_TRUE(reader->Read().empty());
  EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, page->fd(), 0), MAP_FAILED);
  EXPECT_EQ(::pwrite(page->fd(), "x", 1, 0), -1);
  EXPECT_EQ(::ftruncate(page->fd(), 0), -1);
  EXPECT_FALSE(PublishedPage::Map(0));
}

}  // namespace
}  // namespace bailey
