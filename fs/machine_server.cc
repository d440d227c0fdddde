#include "fs/machine_server.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "fs/fuse_protocol.h"

namespace bailey::fs {
namespace {

// Names and attributes never change.
constexpr uint64_t kValidSeconds = 365ULL * 86'400;
constexpr int kBatch = 64;  // requests in one turn
// What sysfs says of its files, whatever is in them: of a file of no bytes sendfile(2) would send
// none, and programs know that a whole page means nothing.
constexpr uint64_t kShownSize = 4096;

// Node numbers: the root is 1, file i of MachineView::kFiles is i + 2.
constexpr uint64_t kFirstFile = FUSE_ROOT_ID + 1;

bool IsFile(uint64_t node) {
  return node >= kFirstFile && node < kFirstFile + MachineView::kFiles.size();
}

fuse_attr AttributesOf(uint64_t node) {
  fuse_attr attributes{};
  attributes.ino = node;
  attributes.mode = node == FUSE_ROOT_ID ? S_IFDIR | 0555 : S_IFREG | 0444;
  attributes.nlink = node == FUSE_ROOT_ID ? 2 : 1;
  attributes.blksize = 4096;
  if (node != FUSE_ROOT_ID) {
    attributes.size = kShownSize;
    attributes.blocks = kShownSize / 512;
  }
  return attributes;
}

}  // namespace

struct MachineServer::Request {
  fuse_in_header header;
  std::string_view body;

  // The body as the message that it must be; false if it is shorter.
  template <class Message>
  bool Get(Message& message) const {
    if (body.size() < sizeof message) return false;
    std::memcpy(&message, body.data(), sizeof message);
    return true;
  }
};

Result<std::unique_ptr<MachineServer>> MachineServer::Make(UniqueFd device, MachineView view) {
  const int flags = ::fcntl(device.get(), F_GETFL);
  if (flags < 0 || ::fcntl(device.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    return Errno("set O_NONBLOCK");
  return std::unique_ptr<MachineServer>(new MachineServer(std::move(device), std::move(view)));
}

int MachineServer::Patience() const {
  const auto wait = view_.UntilSample();
  if (!wait) return -1;
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(*wait).count());
}

void MachineServer::Run() {
  if (view_.UntilSample() == std::chrono::microseconds(0)) view_.Sample();
  for (int i = 0; i < kBatch && device_ && AnswerOne(); ++i) {
  }
}

bool MachineServer::AnswerOne() {
  const ssize_t got = ::read(device_.get(), buffer_.data(), buffer_.size());
  if (got <= 0) {
    // ENOENT: the request was taken back before we had it.
    if (got < 0 && (errno == EINTR || errno == ENOENT)) return true;
    if (got == 0 || errno != EAGAIN) device_.Reset();  // ENODEV: unmounted or aborted
    return false;
  }
  Request request{};
  const auto size = static_cast<size_t>(got);
  if (size < sizeof request.header) return true;
  std::memcpy(&request.header, buffer_.data(), sizeof request.header);
  request.body = {buffer_.data() + sizeof request.header, size - sizeof request.header};
  Answer(request);
  return true;
}

void MachineServer::Reply(const Request& request, const void* body, size_t size) const {
  fuse_out_header header{};
  header.len = static_cast<uint32_t>(sizeof header + size);
  header.unique = request.header.unique;
  const std::array<iovec, 2> parts{iovec{&header, sizeof header},
                                   iovec{const_cast<void*>(body), size}};
  // ENOENT: whoever asked is gone.
  (void)!::writev(device_.get(), parts.data(), size == 0 ? 1 : 2);
}

void MachineServer::Refuse(const Request& request, int error) const {
  fuse_out_header header{};
  header.len = sizeof header;
  header.error = -error;
  header.unique = request.header.unique;
  (void)!::write(device_.get(), &header, sizeof header);
}

void MachineServer::Lookup(const Request& request) {
  const std::string_view name = request.body.substr(0, request.body.find('\0'));
  const auto* const found = std::ranges::find(MachineView::kFiles, name);
  if (request.header.nodeid != FUSE_ROOT_ID || found == MachineView::kFiles.end())
    return Refuse(request, ENOENT);
  fuse_entry_out entry{};
  entry.nodeid = kFirstFile + static_cast<uint64_t>(found - MachineView::kFiles.begin());
  entry.entry_valid = entry.attr_valid = kValidSeconds;
  entry.attr = AttributesOf(entry.nodeid);
  Reply(request, &entry, sizeof entry);
}

MachineServer::Snapshot& MachineServer::SnapshotOf(uint64_t handle) {
  for (Snapshot& each : snapshots_)
    if (each.handle == handle) return each;
  Snapshot& oldest = snapshots_[next_];
  next_ = (next_ + 1) % snapshots_.size();
  oldest = {};
  return oldest;
}

Result<std::string> MachineServer::TextOf(size_t file) {
  Computed& computed = computed_[file];
  const auto now = std::chrono::steady_clock::now();
  if (!computed.text.empty() && now - computed.at < kFresh) return computed.text;
  computed.text.clear();
  auto text = view_.Text(file);
  if (text) computed = {now, *text};
  return text;
}

void MachineServer::Read(const Request& request) {
  fuse_read_in in{};
  if (!request.Get(in) || !IsFile(request.header.nodeid)) return Refuse(request, EINVAL);
  // Not read(2), which has an owner, but the page cache for sendfile or splice: it would cut the
  // file's size to this text's length, for everybody. Who asked does it by read(2), as sendfile(2)
  // has it after EINVAL.
  if ((in.read_flags & FUSE_READ_LOCKOWNER) == 0) return Refuse(request, EINVAL);
  Snapshot& snapshot = SnapshotOf(in.fh);
  if (in.offset == 0 || snapshot.handle != in.fh) {
    auto text = TextOf(request.header.nodeid - kFirstFile);
    if (!text) return Refuse(request, text.error().Errno());
    snapshot = {in.fh, std::move(*text)};
  }
  const std::string_view whole = snapshot.text;
  const std::string_view part = whole.substr(std::min<size_t>(in.offset, whole.size()), in.size);
  Reply(request, part.data(), part.size());
}

void MachineServer::Answer(const Request& request) {
  switch (request.header.opcode) {
    case FUSE_INIT: {
      protocol::InitOut out{};
      out.major = FUSE_KERNEL_VERSION;
      out.minor = 31;  // of the messages that we know
      out.max_write = 4096;
      return Reply(request, &out, sizeof out);
    }
    case FUSE_LOOKUP:
      return Lookup(request);
    case FUSE_GETATTR: {
      fuse_attr_out out{};
      out.attr_valid = kValidSeconds;
      out.attr = AttributesOf(request.header.nodeid);
      return Reply(request, &out, sizeof out);
    }
    case FUSE_OPEN: {
      if (!IsFile(request.header.nodeid)) return Refuse(request, EINVAL);
      fuse_open_out out{};
      out.fh = ++last_handle_;
      out.open_flags = FOPEN_DIRECT_IO | protocol::kOpenNoFlush;
      return Reply(request, &out, sizeof out);
    }
    case FUSE_READ:
      return Read(request);
    case FUSE_RELEASE: {
      fuse_release_in in{};
      if (request.Get(in))
        for (Snapshot& each : snapshots_)
          if (each.handle == in.fh) each = {};
      return Reply(request, nullptr, 0);
    }
    case FUSE_STATFS: {
      fuse_statfs_out out{};
      out.st.bsize = out.st.frsize = 4096;
      out.st.namelen = 255;
      return Reply(request, &out, sizeof out);
    }
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:  // everything is answered at once
      return;
    default:
      return Refuse(request, ENOSYS);
  }
}

}  // namespace bailey::fs
