// The request stream: messages as /dev/fuse delivers them, through the transport, libfuse and the
// tree, over layers that are made from the same input. Bodies, names, sizes, flags and order are
// the input's. What the kernel itself vouches for holds here too, since the server relies on it:
// node ids and file handles are such as the server gave out and has not been told to forget, an
// operation meets a node of a kind that has it, names have no slash, sizes are those of the
// message.
#include <fcntl.h>
#include <fuse3/fuse_log.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "fs/fuse_ops.h"
#include "fs/fuse_protocol.h"
#include "fs/transport.h"
#include "tests/fuzz/layer_world.h"

using bailey::FuzzInput;
using bailey::LayerWorld;
using bailey::Require;
using bailey::UniqueFd;
using namespace bailey::fs;  // NOLINT(google-build-using-namespace): the server is meant

namespace {

using Bytes = std::vector<uint8_t>;

enum class Of { kAny, kDirectory, kFile, kLink, kOpenFile, kOpenDirectory };

// linux/fuse.h: the size of an operation's fixed part, and how many names follow it.
struct Operation {
  uint32_t opcode;
  Of of;
  size_t fixed;
  int names;
};
constexpr Operation kOperations[] = {
    {1, Of::kDirectory, 0, 1},        // LOOKUP
    {3, Of::kAny, 16, 0},             // GETATTR
    {4, Of::kAny, 88, 0},             // SETATTR
    {5, Of::kLink, 0, 0},             // READLINK
    {6, Of::kDirectory, 0, 2},        // SYMLINK
    {8, Of::kDirectory, 16, 1},       // MKNOD
    {9, Of::kDirectory, 8, 1},        // MKDIR
    {10, Of::kDirectory, 0, 1},       // UNLINK
    {11, Of::kDirectory, 0, 1},       // RMDIR
    {12, Of::kDirectory, 8, 2},       // RENAME
    {13, Of::kDirectory, 8, 1},       // LINK
    {14, Of::kFile, 8, 0},            // OPEN
    {15, Of::kOpenFile, 40, 0},       // READ
    {16, Of::kOpenFile, 40, 0},       // WRITE
    {17, Of::kAny, 0, 0},             // STATFS
    {18, Of::kOpenFile, 24, 0},       // RELEASE
    {20, Of::kOpenFile, 16, 0},       // FSYNC
    {21, Of::kAny, 16, 1},            // SETXATTR
    {22, Of::kAny, 8, 1},             // GETXATTR
    {23, Of::kAny, 8, 0},             // LISTXATTR
    {24, Of::kAny, 0, 1},             // REMOVEXATTR
    {25, Of::kOpenFile, 24, 0},       // FLUSH
    {27, Of::kDirectory, 8, 0},       // OPENDIR
    {28, Of::kOpenDirectory, 40, 0},  // READDIR
    {29, Of::kOpenDirectory, 24, 0},  // RELEASEDIR
    {30, Of::kOpenDirectory, 16, 0},  // FSYNCDIR
    {35, Of::kDirectory, 16, 1},      // CREATE
    {39, Of::kOpenFile, 32, 0},       // IOCTL
    {43, Of::kOpenFile, 32, 0},       // FALLOCATE
    {44, Of::kOpenDirectory, 40, 0},  // READDIRPLUS
    {45, Of::kDirectory, 16, 2},      // RENAME2
    {46, Of::kOpenFile, 24, 0},       // LSEEK
    {47, Of::kOpenFile, 56, 0},       // COPY_FILE_RANGE
    {51, Of::kDirectory, 16, 1},      // TMPFILE
};
constexpr uint32_t kForget = 2, kGetattr = 3, kSetattr = 4, kRename = 12, kLink = 13, kOpen = 14,
                   kRead = 15, kWrite = 16, kRelease = 18, kSetxattr = 21, kGetxattr = 22,
                   kListxattr = 23, kOpendir = 27, kReleasedir = 29, kCreate = 35, kIoctl = 39,
                   kReaddirplus = 44, kReaddir = 28, kRename2 = 45, kCopyRange = 47, kTmpfile = 51,
                   kBatchForget = 42;
constexpr size_t kLargestIo = 128UL << 10;

template <class T>
T At(const Bytes& bytes, size_t offset) {
  T value{};
  if (offset + sizeof value <= bytes.size())
    std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}
template <class T>
void Put(Bytes* bytes, size_t offset, T value) {
  if (offset + sizeof value <= bytes->size())
    std::memcpy(bytes->data() + offset, &value, sizeof value);
}

// What the kernel remembers of what the server has told it.
struct Known {
  mode_t type = S_IFDIR;
  uint64_t lookups = 0;
};
struct Opened {
  uint64_t node = 0, handle = 0;
  bool directory = false;
};

class Kernel {
 public:
  Kernel(int device, FuzzInput& input) : device_(device), input_(input) { known_[1] = {}; }

  bool Begin() {
    Bytes body(64);
    Put<uint32_t>(&body, 0, 7);
    Put<uint32_t>(&body, 4, 42);
    Put<uint32_t>(&body, 8, 1U << 20);
    Put<uint32_t>(&body, 12, ~0U);
    Put<uint32_t>(&body, 16, ~0U);
    return Ask(protocol::kOpcodeInit, 0, body).has_value();
  }

  void Step() {
    const uint8_t which = input_.Byte();
    if (which == 255) return Forget();
    if (which == 254) return ForgetMany();
    if (which == 253) return Arbitrary();
    Perform(kOperations[which % std::size(kOperations)]);
  }

 private:
  // The body of the answer; nullopt for an error.
  std::optional<Bytes> Ask(uint32_t opcode, uint64_t node, const Bytes& body) {
    Send(opcode, node, body);
    pollfd ready{device_, POLLIN, 0};
    Require(::poll(&ready, 1, 20'000) == 1, "every request is answered");
    Bytes answer(2UL << 20);
    const ssize_t size = ::recv(device_, answer.data(), answer.size(), 0);
    Require(size >= 16, "an answer");
    answer.resize(static_cast<size_t>(size));
    Require(At<uint32_t>(answer, 0) == answer.size(), "of the size that it says");
    Require(At<uint64_t>(answer, 8) == unique_, "to this request");
    const auto error = At<int32_t>(answer, 4);
    Require(error <= 0 && error > -512, "with an errno");
    if (error != 0) return std::nullopt;
    answer.erase(answer.begin(), answer.begin() + 16);
    return answer;
  }

  void Send(uint32_t opcode, uint64_t node, const Bytes& body) {
    protocol::InHeader header{};
    header.length = static_cast<uint32_t>(sizeof header + body.size());
    header.opcode = opcode;
    header.unique = ++unique_;
    header.node = node;
    header.uid = input_.Byte();
    header.gid = input_.Byte();
    header.pid = 1;
    Bytes message(sizeof header + body.size());
    std::memcpy(message.data(), &header, sizeof header);
    if (!body.empty()) std::memcpy(message.data() + sizeof header, body.data(), body.size());
    Require(
        ::send(device_, message.data(), message.size(), 0) == static_cast<ssize_t>(message.size()),
        "sent");
  }

  uint64_t NodeFor(Of of) {
    std::vector<uint64_t> fit;
    for (const auto& [id, node] : known_)
      if (of == Of::kAny || (of == Of::kDirectory && S_ISDIR(node.type)) ||
          (of == Of::kFile && S_ISREG(node.type)) || (of == Of::kLink && S_ISLNK(node.type)))
        fit.push_back(id);
    return fit.empty() ? 0 : fit[input_.Below(fit.size())];
  }
  const Opened* OpenedFor(Of of) {
    std::vector<const Opened*> fit;
    for (const Opened& one : opened_)
      if (one.directory == (of == Of::kOpenDirectory)) fit.push_back(&one);
    return fit.empty() ? nullptr : fit[input_.Below(fit.size())];
  }

  void Learn(const Bytes& entry, size_t offset = 0) {
    const auto id = At<uint64_t>(entry, offset);
    if (id == 0) return;
    const mode_t type = At<uint32_t>(entry, offset + 40 + 60) & S_IFMT;
    Known& node = known_[id];
    if (id != 1 && node.lookups == 0) node.type = type;
    Require(id == 1 || node.type == type, "a node keeps its kind");
    ++node.lookups;
  }

  void LearnMany(const Bytes& listed) {
    constexpr size_t kEntry = 128, kDirent = 24;
    for (size_t at = 0; at + kEntry + kDirent <= listed.size();) {
      const auto length = At<uint32_t>(listed, at + kEntry + 16);
      Require(length > 0 && at + kEntry + kDirent + length <= listed.size(), "a whole entry");
      Learn(listed, at);
      at += (kEntry + kDirent + length + 7) / 8 * 8;
    }
  }

  void Perform(const Operation& operation) {
    Bytes body(operation.fixed);
    for (uint8_t& byte : body) byte = input_.Byte();
    Opened opened;
    if (operation.of == Of::kOpenFile || operation.of == Of::kOpenDirectory) {
      const Opened* found = OpenedFor(operation.of);
      if (found == nullptr) return;
      opened = *found;
      Put(&body, 0, opened.handle);
    } else {
      opened.node = NodeFor(operation.of);
      if (opened.node == 0) return;
    }
    if (!Vouch(operation.opcode, opened, &body)) return;
    for (int names = operation.names; names > 0; --names) AddName(&body);
    AddData(operation.opcode, &body);
    Note(operation.opcode, opened, Ask(operation.opcode, opened.node, body));
  }

  // Makes of a body what the kernel could have sent. False: nothing, as things are.
  bool Vouch(uint32_t opcode, const Opened& opened, Bytes* body) {
    switch (opcode) {
      case kGetattr:
        Put<uint32_t>(body, 0, 0);
        break;
      case kSetattr: {
        uint32_t valid = At<uint32_t>(*body, 0) & ~(1U << 6);  // FATTR_FH
        const mode_t type = known_[opened.node].type;
        if (!S_ISREG(type)) valid &= ~(1U << 3);
        if (S_ISLNK(type)) valid &= ~1U;
        Put(body, 0, valid);
        Put<uint64_t>(body, 16, At<uint64_t>(*body, 16) >> 1);  // sizes are not negative
        break;
      }
      case kRename:
      case kRename2:
        Put(body, 0, NodeFor(Of::kDirectory));
        break;
      case kLink: {
        const uint64_t node = NodeFor(Of::kAny);
        if (S_ISDIR(known_[node].type)) return false;
        Put(body, 0, node);
        break;
      }
      case kOpen:
      case kCreate:
      case kTmpfile:
        Put<uint32_t>(body, 0, Flags(opcode, At<uint32_t>(*body, 0)));
        break;
      case kRead:
      case kReaddir:
      case kReaddirplus:
        Put<uint64_t>(body, 8, opcode == kRead ? At<uint64_t>(*body, 8) >> 1 : input_.Byte());
        Put<uint32_t>(body, 16, At<uint32_t>(*body, 16) % kLargestIo);
        break;
      case kWrite:
        Put<uint64_t>(body, 8, At<uint64_t>(*body, 8) >> 1);
        break;
      case kGetxattr:
      case kListxattr:
        Put<uint32_t>(body, 0, At<uint32_t>(*body, 0) % 65537);
        break;
      case kIoctl:
        Put<uint32_t>(body, 24, 0);
        Put<uint32_t>(body, 28, 0);
        break;
      case kCopyRange: {
        const Opened* to = OpenedFor(Of::kOpenFile);
        Put(body, 16, to->node);
        Put(body, 24, to->handle);
        break;
      }
      default:
        break;
    }
    return true;
  }

  static uint32_t Flags(uint32_t opcode, uint32_t flags) {
    flags &= ~static_cast<uint32_t>(O_PATH | O_DIRECTORY | __O_TMPFILE);
    if (opcode == kOpen) flags &= ~static_cast<uint32_t>(O_CREAT | O_EXCL | O_NOCTTY);
    if (opcode == kTmpfile) flags |= O_TMPFILE;
    return flags;
  }

  void AddName(Bytes* body) {
    const std::string name = LayerWorld::Name(input_);
    body->insert(body->end(), name.begin(), name.end());
    body->push_back(0);
  }

  void AddData(uint32_t opcode, Bytes* body) {
    if (opcode != kWrite && opcode != kSetxattr) return;
    const std::string data = input_.Text();
    body->insert(body->end(), data.begin(), data.end());
    Put<uint32_t>(body, opcode == kWrite ? 16 : 0, static_cast<uint32_t>(data.size()));
  }

  void Note(uint32_t opcode, const Opened& opened, const std::optional<Bytes>& answer) {
    if (opcode == kRelease || opcode == kReleasedir) {
      Require(answer.has_value(), "a release never fails");
      std::erase_if(opened_, [&](const Opened& one) { return one.handle == opened.handle; });
    }
    if (!answer) return;
    switch (opcode) {
      case 1:  // LOOKUP
      case 6:  // SYMLINK
      case 8:  // MKNOD
      case 9:  // MKDIR
      case kLink:
        return Learn(*answer);
      case kCreate:
      case kTmpfile:
        Learn(*answer);
        opened_.push_back({At<uint64_t>(*answer, 0), At<uint64_t>(*answer, 128), false});
        return;
      case kOpen:
      case kOpendir:
        opened_.push_back({opened.node, At<uint64_t>(*answer, 0), opcode == kOpendir});
        return;
      case kReaddirplus:
        return LearnMany(*answer);
      default:
        return;
    }
  }

  // Ids that may be given back: not the root, and nothing is open there.
  std::vector<uint64_t> Forgettable() const {
    std::vector<uint64_t> ids;
    for (const auto& known : known_)
      if (known.first != 1 && std::none_of(opened_.begin(), opened_.end(), [&](const Opened& one) {
            return one.node == known.first;
          }))
        ids.push_back(known.first);
    return ids;
  }
  // How many lookups of it are given back; all of them as a rule.
  uint64_t Drop(uint64_t id) {
    const uint64_t lookups = known_[id].lookups;
    const uint64_t given = lookups > 1 && input_.Below(4) == 0 ? lookups - 1 : lookups;
    if (given == lookups)
      known_.erase(id);
    else
      known_[id].lookups -= given;
    return given;
  }

  void Forget() {
    const auto ids = Forgettable();
    if (ids.empty()) return;
    const uint64_t id = ids[input_.Below(ids.size())];
    Bytes body(8);
    Put(&body, 0, Drop(id));
    Send(kForget, id, body);
  }

  void ForgetMany() {
    const auto ids = Forgettable();
    Bytes body(8 + 16 * ids.size());
    Put<uint32_t>(&body, 0, static_cast<uint32_t>(ids.size()));
    for (size_t i = 0; i < ids.size(); ++i) {
      Put(&body, 8 + 16 * i, ids[i]);
      Put(&body, 16 + 16 * i, Drop(ids[i]));
    }
    Send(kBatchForget, 0, body);
  }

  // An opcode that the server does not have, with anything behind it.
  void Arbitrary() {
    static constexpr uint32_t kNone[] = {0, 7, 19, 31, 32, 33, 34, 37, 40, 48, 49, 52, 77, 4096};
    const std::string text = input_.Text();
    const Bytes body(text.begin(), text.end());
    const uint32_t opcode = kNone[input_.Below(std::size(kNone))];
    Require(!Ask(opcode, 1, Bytes(std::max<size_t>(body.size(), 64))), "an unknown request fails");
  }

  int device_;
  FuzzInput& input_;
  uint64_t unique_ = 0;
  std::map<uint64_t, Known> known_;
  std::vector<Opened> opened_;
};

void MakeRoomFor(int socket) {
  const int room = 8 << 20;
  ::setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  // A connection that ends is libfuse's error, and every input's end.
  fuse_set_log_func([](fuse_log_level, const char*, va_list) {});
  bailey::EnterLayerWorld();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  const LayerWorld world(input);
  OpenedLayers layers = world.Open();
  auto work = WorkArea::Open(std::move(layers.work));
  Require(work.has_value(), "the work area is opened");
  int ends[2];
  Require(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
  UniqueFd kernel_end(ends[0]);
  UniqueFd server_end(ends[1]);
  MakeRoomFor(kernel_end.get());
  MakeRoomFor(server_end.get());
  Tree tree({LayerSet(std::move(layers.upper), std::move(layers.lowers)), std::move(*work),
             *Projection::Make({"/a/b"}), -1, 16, nullptr});
  if (!tree.Open()) return 0;
  FuseServer server{tree, true};
  auto transport =
      Transport::Make(FuseOperations(), {std::move(server_end), &server, 1, [] {}, nullptr});
  Require(transport.has_value() && (*transport)->StartReaders().has_value(), "a server");
  (*transport)->Serve();
  {
    Kernel kernel(kernel_end.get(), input);
    Require(kernel.Begin(), "INIT is answered");
    for (int steps = 0; steps < 60 && !input.empty(); ++steps) kernel.Step();
  }
  kernel_end.Reset();
  (*transport)->Join();
  return 0;
}
