#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/files.h"
#include "base/message.h"

namespace bailey {
namespace {

TEST(Message, CarriesTextAndDescriptors) {
  auto pair = MakeMessagePair();
  ASSERT_TRUE(pair);
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(SendMessage(pair->ours.get(), "hello", {null.get(), null.get()}));
  ASSERT_TRUE(SendMessage(pair->ours.get(), "second"));
  auto first = ReceiveMessage(pair->theirs.get());
  ASSERT_TRUE(first);
  EXPECT_EQ(first->text, "hello");
  ASSERT_EQ(first->fds.size(), 2U);
  EXPECT_EQ(::fcntl(first->fds[0].get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(ReceiveMessage(pair->theirs.get())->text, "second");
}

TEST(Message, AClosedPeerIsEpipe) {
  auto pair = MakeMessagePair();
  pair->ours.Reset();
  EXPECT_EQ(ReceiveMessage(pair->theirs.get()).error().Errno(), EPIPE);
  EXPECT_EQ(SendMessage(pair->theirs.get(), "x").error().Errno(), EPIPE);
}

TEST(Message, TooLongIsRefusedOnBothSides) {
  auto pair = MakeMessagePair();
  const std::string longer(kMaxMessageBytes + 1, 'x');
  EXPECT_EQ(SendMessage(pair->ours.get(), longer).error().Errno(), EMSGSIZE);
  EXPECT_EQ(SendMessage(pair->ours.get(), "").error().Errno(), EMSGSIZE);
  ASSERT_GT(::send(pair->ours.get(), longer.data(), longer.size(), MSG_NOSIGNAL), 0);
  EXPECT_EQ(ReceiveMessage(pair->theirs.get()).error().Errno(), EMSGSIZE);
  const std::string longest(kMaxMessageBytes, 'y');
  ASSERT_TRUE(SendMessage(pair->ours.get(), longest));
  EXPECT_EQ(ReceiveMessage(pair->theirs.get())->text, longest);
}

TEST(Message, ListensWithTheModeAskedFor) {
  std::string folder = std::filesystem::temp_directory_path() / "bailey-message-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const std::string path = folder + "/socket";
  {
    auto listener = ListenAt(path, 0600);
    ASSERT_TRUE(listener) << listener.error().Message();
    struct stat status {};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600U);
    EXPECT_TRUE(ConnectTo(path));
    EXPECT_TRUE(ListenAt(path, 0600)) << "a stale socket is replaced";
  }
  EXPECT_EQ(ConnectTo(path).error().Errno(), ECONNREFUSED);
  EXPECT_EQ(ConnectTo("/" + std::string(200, 'x')).error().Errno(), ENAMETOOLONG);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace bailey
