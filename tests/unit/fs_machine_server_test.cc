// The server of a tenant's machine, asked by a kernel that is a test: messages over a socket pair
// in place of /dev/fuse, and the files of the host as memfds.
#include <gmock/gmock.h>
#include <linux/fuse.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "fs/machine_server.h"

namespace bailey::fs {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

struct Reply {
  int error = -1;
  std::string body;
  template <class Message>
  Message As() const {
    Message message{};
    std::memcpy(&message, body.data(), std::min(body.size(), sizeof message));
    return message;
  }
};

class MachineServerTest : public testing::Test {
 protected:
  MachineServerTest() {
    std::array<int, 2> pair{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()), 0);
    kernel_.Reset(pair[0]);
    MachineView::Options view;
    const std::pair<MachineSource, const char*> texts[] = {
        {MachineSource::kCpuLimit, "150000 100000\n"},
        {MachineSource::kMemoryUsage, "1048576\n"},
        {MachineSource::kMemoryLimit, "2097152\n"},
        {MachineSource::kHostCpuinfo,
         "processor\t: 0\n\nprocessor\t: 1\n\nprocessor\t: 2\n\nprocessor\t: 3\n\n"},
    };
    for (const auto& [source, text] : texts) view.sources.Put(source, Memory(source, text));
    view.host_processors = 4;
    auto server = MachineServer::Make(UniqueFd(pair[1]), MachineView(std::move(view)));
    EXPECT_TRUE(server);
    server_ = std::move(*server);
  }

  UniqueFd Memory(MachineSource source, std::string_view text) {
    const int fd = ::memfd_create("source", MFD_CLOEXEC);
    EXPECT_EQ(::pwrite(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    if (source == MachineSource::kMemoryUsage) usage_ = fd;
    return UniqueFd(fd);
  }
  void Send(uint32_t opcode, uint64_t node, std::string_view body) {
    fuse_in_header header{};
    header.len = static_cast<uint32_t>(sizeof header + body.size());
    header.opcode = opcode;
    header.unique = ++unique_;
    header.nodeid = node;
    std::string message(reinterpret_cast<const char*>(&header), sizeof header);
    message += body;
    ASSERT_EQ(::send(kernel_.get(), message.data(), message.size(), 0),
              static_cast<ssize_t>(message.size()));
    server_->Run();
  }
  Reply Ask(uint32_t opcode, uint64_t node, std::string_view body = {}) {
    Send(opcode, node, body);
    std::array<char, 1 << 17> buffer;
    const ssize_t got = ::recv(kernel_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    fuse_out_header header{};
    if (got < static_cast<ssize_t>(sizeof header)) return {};
    std::memcpy(&header, buffer.data(), sizeof header);
    EXPECT_EQ(header.unique, unique_);
    EXPECT_EQ(header.len, static_cast<uint32_t>(got));
    return {-header.error,
            {buffer.data() + sizeof header, static_cast<size_t>(got) - sizeof header}};
  }
  template <class Message>
  Reply AskWith(uint32_t opcode, uint64_t node, const Message& message) {
    return Ask(opcode, node, {reinterpret_cast<const char*>(&message), sizeof message});
  }
  // The name as the kernel sends it, with its NUL.
  Reply AskForName(uint64_t directory, const std::string& name) {
    return Ask(FUSE_LOOKUP, directory, {name.c_str(), name.size() + 1});
  }
  uint64_t Lookup(const std::string& name) {
    const Reply reply = AskForName(FUSE_ROOT_ID, name);
    return reply.error == 0 ? reply.As<fuse_entry_out>().nodeid : 0;
  }
  uint64_t Open(uint64_t node) {
    const auto out = AskWith(FUSE_OPEN, node, fuse_open_in{}).As<fuse_open_out>();
    EXPECT_NE(out.open_flags & FOPEN_DIRECT_IO, 0U);
    return out.fh;
  }
  // As read(2) asks, which has an owner; the page cache has none.
  Reply Read(uint64_t node, uint64_t handle, uint64_t offset, uint32_t size = 65536,
             uint32_t flags = FUSE_READ_LOCKOWNER) {
    fuse_read_in in{};
    in.read_flags = flags;
    in.fh = handle;
    in.offset = offset;
    in.size = size;
    return AskWith(FUSE_READ, node, in);
  }
  void SetUsage(std::string_view text) {
    ASSERT_EQ(::ftruncate(usage_, 0), 0);
    ASSERT_EQ(::pwrite(usage_, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }

  UniqueFd kernel_;
  std::unique_ptr<MachineServer> server_;
  int usage_ = -1;
  uint64_t unique_ = 0;
};

TEST_F(MachineServerTest, IntroducesItself) {
  const auto out = AskWith(FUSE_INIT, 0, fuse_init_in{}).As<fuse_init_out>();
  EXPECT_EQ(out.major, 7U);
  EXPECT_EQ(out.flags, 0U);
}

TEST_F(MachineServerTest, HasItsFilesAndNoOthers) {
  for (const std::string_view name : MachineView::kFiles)
    EXPECT_NE(Lookup(std::string(name)), 0U) << name;
  EXPECT_EQ(AskForName(FUSE_ROOT_ID, "kcore").error, ENOENT);
  EXPECT_EQ(AskForName(FUSE_ROOT_ID, "").error, ENOENT);
  EXPECT_EQ(AskForName(Lookup("meminfo"), "meminfo").error, ENOENT);
}

TEST_F(MachineServerTest, FilesAreReadOnly) {
  const auto out = AskWith(FUSE_GETATTR, Lookup("stat"), fuse_getattr_in{}).As<fuse_attr_out>();
  EXPECT_EQ(out.attr.mode, static_cast<uint32_t>(S_IFREG | 0444));
  for (const uint32_t opcode : {FUSE_WRITE, FUSE_SETATTR, FUSE_UNLINK, FUSE_CREATE, FUSE_IOCTL})
    EXPECT_EQ(Ask(opcode, Lookup("stat")).error, ENOSYS) << opcode;
}

TEST_F(MachineServerTest, SaysWhatHoldsAtTheRead) {
  const uint64_t node = Lookup("meminfo");
  const uint64_t handle = Open(node);
  EXPECT_THAT(Read(node, handle, 0).body,
              StartsWith("MemTotal:           2048 kB\nMemFree:            1024"));
  SetUsage("524288\n");
  std::this_thread::sleep_for(std::chrono::milliseconds(11));
  // From the start again: anew. procps keeps its descriptors.
  EXPECT_THAT(Read(node, handle, 0).body, HasSubstr("MemFree:            1536 kB\n"));
  EXPECT_EQ(Read(node, handle, 1 << 20).body, "");
}

TEST_F(MachineServerTest, ALoopOfReadsIsNotAlwaysComputed) {
  const uint64_t node = Lookup("meminfo");
  const uint64_t handle = Open(node);
  std::string first, second;
  for (int attempt = 0; attempt < 100; ++attempt) {  // a busy machine may take 10 ms for it
    std::this_thread::sleep_for(std::chrono::milliseconds(11));
    const auto begun = std::chrono::steady_clock::now();
    SetUsage("1048576\n");
    first = Read(node, handle, 0).body;
    SetUsage("524288\n");
    second = Read(node, Open(node), 0).body;
    if (std::chrono::steady_clock::now() - begun < std::chrono::milliseconds(10)) break;
  }
  EXPECT_EQ(first, second);
}

TEST_F(MachineServerTest, NothingIsForThePageCache) {
  const uint64_t node = Lookup("meminfo");
  EXPECT_EQ(Read(node, Open(node), 0, 4096, 0).error, EINVAL);
}

TEST_F(MachineServerTest, PiecesAreOfOneText) {
  const uint64_t node = Lookup("meminfo");
  const uint64_t handle = Open(node);
  std::string text = Read(node, handle, 0, 40).body;
  SetUsage("524288\n");
  for (std::string piece = "x"; !piece.empty(); text += piece)
    piece = Read(node, handle, text.size(), 7).body;
  EXPECT_THAT(text, HasSubstr("MemFree:            1024 kB\n"));
  EXPECT_THAT(text, HasSubstr("Committed_AS:       1024 kB\n"));
}

TEST_F(MachineServerTest, ManyReadersCostNoMemory) {
  const uint64_t node = Lookup("meminfo");
  std::vector<uint64_t> handles(1000);
  for (uint64_t& handle : handles) handle = Open(node);
  for (const uint64_t handle : handles) EXPECT_EQ(Read(node, handle, 0, 9).body, "MemTotal:");
  // Long forgotten, and still answered.
  EXPECT_EQ(Read(node, handles[0], 3, 6).body, "Total:");
  for (const uint64_t handle : handles) {
    fuse_release_in in{};
    in.fh = handle;
    EXPECT_EQ(AskWith(FUSE_RELEASE, node, in).error, 0);
  }
}

TEST_F(MachineServerTest, AProcessorAndAHalfAreTwo) {
  const auto text = [&](const char* name) {
    const uint64_t node = Lookup(name);
    return Read(node, Open(node), 0).body;
  };
  EXPECT_EQ(text("online"), "0-1\n");
  EXPECT_EQ(text("cpuinfo"), "processor\t: 0\n\nprocessor\t: 1\n\n");
}

TEST_F(MachineServerTest, WhatCannotBeReadIsAnErrno) {
  for (const char* name : {"stat", "pressure.cpu"}) {
    const uint64_t node = Lookup(name);
    EXPECT_EQ(Read(node, Open(node), 0).error, ENOENT) << name;
  }
}

TEST_F(MachineServerTest, ShortAndStrangeMessagesHarmNothing) {
  EXPECT_EQ(Ask(FUSE_READ, Lookup("stat"), "short").error, EINVAL);
  EXPECT_EQ(Read(FUSE_ROOT_ID, 1, 0).error, EINVAL);
  EXPECT_EQ(Read(99, 1, 0).error, EINVAL);
  EXPECT_EQ(AskWith(FUSE_OPEN, 99, fuse_open_in{}).error, EINVAL);
  EXPECT_EQ(Ask(4711, 1).error, ENOSYS);
  ASSERT_EQ(::send(kernel_.get(), "tiny", 4, 0), 4);
  Send(FUSE_FORGET, 1, "");
  Send(FUSE_INTERRUPT, 1, "");
  EXPECT_NE(Lookup("stat"), 0U);  // and no answer to those came before this one's
}

TEST_F(MachineServerTest, TheEndOfTheConnectionIsNoticed) {
  kernel_.Reset();
  server_->Run();
  EXPECT_EQ(server_->device(), -1);
}

}  // namespace
}  // namespace bailey::fs
