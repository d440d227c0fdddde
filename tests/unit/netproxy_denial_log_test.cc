#include <gtest/gtest.h>

#include "netproxy/denial_log.h"

namespace bailey::netproxy {
namespace {

using namespace std::chrono_literals;

std::vector<std::string>& Lines() {
  static std::vector<std::string> lines;
  return lines;
}
void Keep(std::string_view line) { Lines().emplace_back(line); }

const Denial kDenial{
    "tcp", {*IpAddress::Parse("203.0.113.7"), 40000}, {*IpAddress::Parse("10.0.0.1"), 80}};

TEST(DenialLog, NamesProtocolEndsAndVerdict) {
  Lines().clear();
  EventLoop loop = *EventLoop::Create();
  DenialLog log(loop, Keep);
  log.Add(kDenial, [] { return "private"; });
  log.Add({"udp", {*IpAddress::Parse("2001:db8::7"), 0}, {*IpAddress::Parse("::1"), 53}},
          [] { return "rule"; });
  EXPECT_EQ(Lines(),
            (std::vector<std::string>{"denied tcp 203.0.113.7:40000 > 10.0.0.1:80: private",
                                      "denied udp 2001:db8::7 > [::1]:53: rule"}));
}

TEST(DenialLog, IsASampleThatSaysWhatItLeftOut) {
  Lines().clear();
  EventLoop loop = *EventLoop::Create();
  DenialLog log(loop, Keep);
  size_t asked = 0;
  for (int i = 0; i < 1000; ++i)
    log.Add(kDenial, [&asked] {
      ++asked;
      return "private";
    });
  log.AddUnseen(500);
  const size_t logged = Lines().size();
  EXPECT_GE(logged, 10u);
  EXPECT_LE(logged, 12u);
  EXPECT_EQ(asked, logged);
  for (const auto end = EventLoop::Clock::now() + 20s;
       Lines().size() == logged && EventLoop::Clock::now() < end;)
    loop.RunOnce(100ms);
  ASSERT_EQ(Lines().size(), logged + 1);
  EXPECT_EQ(Lines().back(), std::to_string(1500 - logged) + " more denials were not logged");
}

}  // namespace
}  // namespace bailey::netproxy
