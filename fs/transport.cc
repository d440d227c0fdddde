#include "fs/transport.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "base/log.h"
#include "fs/fuse_protocol.h"
#include "fs/thread_place.h"

namespace bailey::fs {
namespace {

// The long form of SETXATTR, which libfuse 3.14 gets wrong, made short; what only the long one says
// goes into the flags. Returns the new size.
ssize_t ShortenSetxattr(protocol::InHeader* header, ssize_t size) {
  protocol::SetxattrIn in{};
  const auto taken = static_cast<ssize_t>(sizeof *header + sizeof in);
  if (size < taken) return size;
  char* body = reinterpret_cast<char*>(header + 1);
  std::memcpy(&in, body, sizeof in);
  if ((in.setxattr_flags & protocol::kAclKillSetgid) != 0) in.flags |= protocol::kFlagKillSetgid;
  std::memcpy(body, &in, protocol::kShortSetxattrIn);
  std::memmove(body + protocol::kShortSetxattrIn, body + sizeof in,
               static_cast<size_t>(size - taken));
  constexpr auto kCut = static_cast<ssize_t>(sizeof in - protocol::kShortSetxattrIn);
  header->length -= static_cast<uint32_t>(kCut);
  return size - kCut;
}

// Nobody waits for these, and they are done in no time: what is waiting behind one is the next
// request of the same client, which another reader would not serve sooner.
bool IsAnsweredAtOnce(const fuse_buf& buffer) {
  const uint32_t opcode = static_cast<const protocol::InHeader*>(buffer.mem)->opcode;
  return opcode == protocol::kOpcodeRelease || opcode == protocol::kOpcodeReleasedir ||
         opcode == protocol::kOpcodeForget || opcode == protocol::kOpcodeBatchForget;
}

}  // namespace

Transport::Transport(Options options) : options_(std::move(options)) {}

Result<std::unique_ptr<Transport>> Transport::Make(const fuse_lowlevel_ops& operations,
                                                   Options options) {
  std::unique_ptr<Transport> transport(new Transport(std::move(options)));
  transport->ended_.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!transport->ended_) return Errno("eventfd");
  fuse_args arguments = FUSE_ARGS_INIT(0, nullptr);
  if (fuse_opt_add_arg(&arguments, "bailey-fs") != 0) return Errno("fuse arguments", ENOMEM);
  transport->session_ =
      fuse_session_new(&arguments, &operations, sizeof operations, transport.get());
  fuse_opt_free_args(&arguments);
  if (transport->session_ == nullptr) return Errno("fuse_session_new", EINVAL);
  fuse_custom_io io{};
  io.read = Read;
  io.writev = Write;
  const int failed =
      fuse_session_custom_io(transport->session_, &io, transport->options_.device.get());
  if (failed != 0) return Errno("fuse_session_custom_io", EINVAL);
  return transport;
}

Transport::~Transport() {
  // libfuse closes the device with the session.
  if (session_ != nullptr) {
    (void)options_.device.Release();
    fuse_session_destroy(session_);
  }
}

void* Transport::UserOf(fuse_req_t request) {
  return static_cast<Transport*>(fuse_req_userdata(request))->options_.user;
}

Status Transport::StartReaders() {
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);  // signals are the main thread's
  for (unsigned i = 0; i < options_.readers; ++i)
    readers_.emplace_back([this] {
      if (!ThreadPlace::Separate()) failed_ = static_cast<unsigned>(errno);
      ++separated_;
      separated_.notify_all();
      gate_.wait();
      ReadRequests();
    });
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  for (unsigned seen = separated_; seen != options_.readers; seen = separated_)
    separated_.wait(seen);
  if (failed_ != 0) return Errno("unshare the working directory", static_cast<int>(failed_));
  return {};
}

void Transport::Serve() { gate_.count_down(); }

void Transport::InvalidateAttributes(fuse_ino_t id) {
  (void)fuse_lowlevel_notify_inval_inode(session_, id, -1, 0);  // ENOENT: forgotten meanwhile
}

void Transport::Join() {
  for (std::thread& reader : readers_) reader.join();
  readers_.clear();
}

bool Transport::MoreAreWaiting() const {
  pollfd device{options_.device.get(), POLLIN, 0};
  return ::poll(&device, 1, 0) > 0;
}

void Transport::ReadRequests() {
  fuse_buf buffer{};
  while (fuse_session_exited(session_) == 0) {
    turn_.Take();
    const int size = fuse_session_receive_buf(session_, &buffer);
    if (size == -EINTR || size == -EAGAIN) continue;
    if (size <= 0) break;
    if (options_.readers > 1 && !IsAnsweredAtOnce(buffer) && MoreAreWaiting()) turn_.GiveUp();
    fuse_session_process_buf(session_, &buffer);
  }
  turn_.GiveUp();
  std::free(buffer.mem);
  const uint64_t one = 1;
  (void)!::write(ended_.get(), &one, sizeof one);
}

ssize_t Transport::Read(int fd, void* buffer, size_t size, void* self) {
  auto& transport = *static_cast<Transport*>(self);
  const ssize_t got = ::read(fd, buffer, size);
  if (got < static_cast<ssize_t>(sizeof(protocol::InHeader))) return got;
  if (transport.options_.counters != nullptr)
    transport.options_.counters->Add(FsCounter::kRequests);
  auto* header = static_cast<protocol::InHeader*>(buffer);
  // libfuse 3.14 does not know TMPFILE; CREATE has the same body, and O_TMPFILE in its flags.
  if (header->opcode == protocol::kOpcodeTmpfile) header->opcode = protocol::kOpcodeCreate;
  if (header->opcode == protocol::kOpcodeSetxattr && transport.initialised_)
    return ShortenSetxattr(header, got);
  if (header->opcode == protocol::kOpcodeInit && !transport.initialised_)
    transport.NoteInit(header, static_cast<size_t>(got));
  return got;
}

void Transport::NoteInit(const void* request, size_t size) {
  const auto* header = static_cast<const protocol::InHeader*>(request);
  init_unique_ = header->unique;
  protocol::InitIn in{};
  std::memcpy(&in, header + 1, std::min(sizeof in, size - sizeof *header));
  offered_flags_ = in.flags;
  offered_flags2_ = (in.flags & protocol::kInitExt) != 0 ? in.flags2 : 0;
}

ssize_t Transport::Write(int fd, iovec* parts, int count, void* self) {
  auto& transport = *static_cast<Transport*>(self);
  const auto* header = static_cast<const protocol::OutHeader*>(parts[0].iov_base);
  // Without the number of a request it is a notification, and `error` says which.
  if (header->error != 0 && header->unique != 0 && transport.options_.counters != nullptr &&
      header->error != -ENOENT && header->error != -ENOSYS)
    transport.options_.counters->Add(FsCounter::kErrors);
  if (!transport.initialised_ && header->unique == transport.init_unique_ && header->error == 0 &&
      count == 2)
    return transport.AnswerInit(fd, parts);
  return ::writev(fd, parts, count);
}

// What libfuse answers, and what it cannot answer.
ssize_t Transport::AnswerInit(int fd, const iovec* parts) {
  protocol::InitOut out{};
  const size_t size = std::min(parts[1].iov_len, sizeof out);
  std::memcpy(&out, parts[1].iov_base, size);
  out.flags |= (protocol::kParallelDirops | protocol::kHandleKillprivV2 | protocol::kSetxattrExt |
                protocol::kInitExt) &
               offered_flags_;
  // Without export support name_to_handle_at(2) is refused: a handle would outlive the node.
  out.flags2 |= (protocol::kPassthrough2 | protocol::kNoExportSupport2 | protocol::kAllowIdmap2) &
                offered_flags2_;
  out.max_stack_depth = 1;  // an overlayfs may still be mounted over us
  std::array<iovec, 2> patched{parts[0], iovec{&out, size}};
  initialised_ = true;
  const ssize_t written = ::writev(fd, patched.data(), patched.size());
  // The kernel handles the answer within this very write: only now may the mount be idmapped.
  if (written > 0 && options_.on_ready) options_.on_ready();
  return written;
}

}  // namespace bailey::fs
