#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>

#include "base/event_loop.h"

namespace bailey {
namespace {

using std::chrono::milliseconds;

struct Pipe {
  UniqueFd read, write;
};
Pipe MakePipe() {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

TEST(EventLoop, DispatchesAndStops) {
  auto loop = EventLoop::Create();
  const Pipe pipe = MakePipe();
  char seen = 0;
  ASSERT_TRUE(loop->Watch(pipe.read.get(), EPOLLIN, [&](uint32_t) {
    EXPECT_EQ(::read(pipe.read.get(), &seen, 1), 1);
    loop->Stop();
  }));
  ASSERT_EQ(::write(pipe.write.get(), "x", 1), 1);
  loop->Run();
  EXPECT_EQ(seen, 'x');
}

TEST(EventLoop, AHandlerMayUnwatchAnother) {
  auto loop = EventLoop::Create();
  const Pipe a = MakePipe();
  const Pipe b = MakePipe();
  int calls = 0;
  const auto handler = [&](uint32_t) {
    ++calls;
    loop->Unwatch(a.read.get());
    loop->Unwatch(b.read.get());
  };
  ASSERT_TRUE(loop->Watch(a.read.get(), EPOLLIN, handler));
  ASSERT_TRUE(loop->Watch(b.read.get(), EPOLLIN, handler));
  ASSERT_EQ(::write(a.write.get(), "x", 1), 1);
  ASSERT_EQ(::write(b.write.get(), "x", 1), 1);
  loop->RunOnce(milliseconds(100));
  EXPECT_EQ(calls, 1);
}

TEST(EventLoop, TimersRunInOrderAndCanBeCancelled) {
  auto loop = EventLoop::Create();
  std::string order;
  loop->After(milliseconds(2), [&] { order += 'b'; });
  loop->After(milliseconds(1), [&] { order += 'a'; });
  const auto cancelled = loop->After(milliseconds(1), [&] { order += 'x'; });
  loop->Cancel(cancelled);
  loop->After(milliseconds(3), [&] { loop->Stop(); });
  loop->Run();
  EXPECT_EQ(order, "ab");
}

}  // namespace
}  // namespace bailey
