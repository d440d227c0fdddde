#include "tests/fuzz/fuzz_kernel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "fs/fuse_protocol.h"
#include "tests/fuzz/layer_world.h"

namespace bailey {

// linux/fuse.h: the size of an operation's fixed part, and how many names follow it.
struct FuzzKernel::Operation {
  uint32_t opcode;
  Of of;
  size_t fixed;
  int names;
};
constexpr FuzzKernel::Operation FuzzKernel::kOperations[] = {
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

struct FuzzKernel::Request {
  uint32_t opcode;
  Opened opened;    // the node that is meant, and the handle if it has one
  uint64_t to = 0;  // of a rename
  Bytes body;
  std::vector<std::string> names;
  uint64_t moved = 0, replaced = 0;  // of a rename: what the names lead to

  bool is_rename() const;
};

namespace {

constexpr uint32_t kLookup = 1, kForget = 2, kSymlink = 6, kMknod = 8, kMkdir = 9, kGetattr = 3,
                   kSetattr = 4, kRename = 12, kLink = 13, kOpen = 14, kRead = 15, kWrite = 16,
                   kRelease = 18, kSetxattr = 21, kGetxattr = 22, kListxattr = 23, kOpendir = 27,
                   kReleasedir = 29, kCreate = 35, kIoctl = 39, kReaddirplus = 44, kReaddir = 28,
                   kRename2 = 45, kCopyRange = 47, kTmpfile = 51, kBatchForget = 42;
constexpr size_t kLargestIo = 128UL << 10;

template <class T>
T At(const std::vector<uint8_t>& bytes, size_t offset) {
  T value{};
  if (offset + sizeof value <= bytes.size())
    std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}
template <class T>
void Put(std::vector<uint8_t>* bytes, size_t offset, T value) {
  if (offset + sizeof value <= bytes->size())
    std::memcpy(bytes->data() + offset, &value, sizeof value);
}

}  // namespace

bool FuzzKernel::Request::is_rename() const { return opcode == kRename || opcode == kRename2; }

bool FuzzKernel::Begin() {
  Bytes body(64);
  Put<uint32_t>(&body, 0, 7);
  Put<uint32_t>(&body, 4, 42);
  Put<uint32_t>(&body, 8, 1U << 20);
  Put<uint32_t>(&body, 12, ~0U);
  Put<uint32_t>(&body, 16, ~0U);
  return Ask(fs::protocol::kOpcodeInit, 0, body).has_value();
}

void FuzzKernel::Step() {
  const uint8_t which = input_.Byte();
  if (which == 255) return Forget();
  if (which == 254) return ForgetMany();
  if (which == 253) return Arbitrary();
  Perform(kOperations[which % std::size(kOperations)]);
}

std::optional<FuzzKernel::Bytes> FuzzKernel::Ask(uint32_t opcode, uint64_t node,
                                                 const Bytes& body) {
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

void FuzzKernel::Send(uint32_t opcode, uint64_t node, const Bytes& body) {
  fs::protocol::InHeader header{};
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

uint64_t FuzzKernel::NodeFor(Of of) {
  std::vector<uint64_t> fit;
  for (const auto& [id, node] : known_)
    if (of == Of::kAny || (of == Of::kDirectory && S_ISDIR(node.type)) ||
        (of == Of::kFile && S_ISREG(node.type)) || (of == Of::kLink && S_ISLNK(node.type)))
      fit.push_back(id);
  return fit.empty() ? 0 : fit[input_.Below(fit.size())];
}
const FuzzKernel::Opened* FuzzKernel::OpenedFor(Of of) {
  std::vector<const Opened*> fit;
  for (const Opened& one : opened_)
    if (one.directory == (of == Of::kOpenDirectory)) fit.push_back(&one);
  return fit.empty() ? nullptr : fit[input_.Below(fit.size())];
}

uint64_t FuzzKernel::Learn(uint64_t parent, const Bytes& entry, size_t offset) {
  const auto id = At<uint64_t>(entry, offset);
  if (id == 0) return 0;
  const mode_t type = At<uint32_t>(entry, offset + 40 + 60) & S_IFMT;
  Known& node = known_[id];
  if (id != 1 && node.lookups == 0) node.type = type;
  Require(id == 1 || node.type == type, "a node keeps its kind");
  if (S_ISDIR(type)) node.parent = parent;
  ++node.lookups;
  return id;
}

void FuzzKernel::LearnMany(uint64_t parent, const Bytes& listed) {
  constexpr size_t kEntry = 128, kDirent = 24;
  for (size_t at = 0; at + kEntry + kDirent <= listed.size();) {
    const auto length = At<uint32_t>(listed, at + kEntry + 16);
    Require(length > 0 && at + kEntry + kDirent + length <= listed.size(), "a whole entry");
    Learn(parent, listed, at);
    at += (kEntry + kDirent + length + 7) / 8 * 8;
  }
}

std::optional<uint64_t> FuzzKernel::LookUp(uint64_t parent, const std::string& name) {
  Bytes body(name.begin(), name.end());
  body.push_back(0);
  const auto answer = Ask(kLookup, parent, body);
  if (!answer) return std::nullopt;
  return Learn(parent, *answer);
}

bool FuzzKernel::IsWithin(uint64_t directory, uint64_t above) const {
  // A circle would be the server's fault; the walk ends all the same.
  for (size_t steps = 0; directory != 0 && steps <= known_.size(); ++steps) {
    if (directory == above) return true;
    const auto at = known_.find(directory);
    directory = at == known_.end() ? 0 : at->second.parent;
  }
  return false;
}

void FuzzKernel::Perform(const Operation& operation) {
  Request request{operation.opcode, {}, 0, Bytes(operation.fixed), {}, 0, 0};
  for (uint8_t& byte : request.body) byte = input_.Byte();
  if (operation.of == Of::kOpenFile || operation.of == Of::kOpenDirectory) {
    const Opened* found = OpenedFor(operation.of);
    if (found == nullptr) return;
    request.opened = *found;
    Put(&request.body, 0, found->handle);
  } else {
    request.opened.node = NodeFor(operation.of);
    if (request.opened.node == 0) return;
  }
  if (!Vouch(request)) return;
  for (int names = operation.names; names > 0; --names)
    request.names.push_back(LayerWorld::Name(input_));
  if (!VouchForNames(request)) return;
  Bytes& body = request.body;
  for (const std::string& name : request.names) {
    body.insert(body.end(), name.begin(), name.end());
    body.push_back(0);
  }
  if (request.opcode == kWrite || request.opcode == kSetxattr) {
    const std::string data = input_.Text();
    body.insert(body.end(), data.begin(), data.end());
    Put<uint32_t>(&body, request.opcode == kWrite ? 16 : 0, static_cast<uint32_t>(data.size()));
  }
  Note(request, Ask(request.opcode, request.opened.node, body));
}

bool FuzzKernel::VouchForNames(Request& request) {
  const uint64_t parent = request.opened.node;
  switch (request.opcode) {
    case kSymlink:
    case kMknod:
    case kMkdir:
    case kLink:
    case kCreate:
      return LookUp(parent, request.names[0]) == uint64_t{0};
    case kRename:
    case kRename2: {
      request.moved = LookUp(parent, request.names[0]).value_or(0);
      const auto replaced = LookUp(request.to, request.names[1]);
      request.replaced = replaced.value_or(0);
      if (request.moved == 0 || !replaced) return false;
      return !IsWithin(request.to, request.moved) &&
             !(request.replaced != 0 && IsWithin(parent, request.replaced));
    }
    default:
      return true;
  }
}

bool FuzzKernel::Vouch(Request& request) {
  const uint32_t opcode = request.opcode;
  const Opened& opened = request.opened;
  Bytes* body = &request.body;
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
      request.to = NodeFor(Of::kDirectory);
      Put(body, 0, request.to);
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

uint32_t FuzzKernel::Flags(uint32_t opcode, uint32_t flags) {
  flags &= ~static_cast<uint32_t>(O_PATH | O_DIRECTORY | __O_TMPFILE);
  if (opcode == kOpen) flags &= ~static_cast<uint32_t>(O_CREAT | O_EXCL | O_NOCTTY);
  if (opcode == kTmpfile) flags |= O_TMPFILE;
  return flags;
}

void FuzzKernel::Note(const Request& request, const std::optional<Bytes>& answer) {
  const Opened& opened = request.opened;
  if (request.opcode == kRelease || request.opcode == kReleasedir) {
    Require(answer.has_value(), "a release never fails");
    std::erase_if(opened_, [&](const Opened& one) { return one.handle == opened.handle; });
  }
  if (!answer) return;
  switch (request.opcode) {
    case kLookup:
    case kSymlink:
    case kMknod:
    case kMkdir:
    case kLink:
      Learn(opened.node, *answer);
      return;
    case kRename:
    case kRename2:
      // Told again by the next lookup: of an exchange, too.
      known_[request.moved].parent = request.to;
      if (request.replaced != 0 && known_.contains(request.replaced))
        known_[request.replaced].parent = opened.node;
      return;
    case kCreate:
    case kTmpfile:
      Learn(opened.node, *answer);
      opened_.push_back({At<uint64_t>(*answer, 0), At<uint64_t>(*answer, 128), false});
      return;
    case kOpen:
    case kOpendir:
      opened_.push_back({opened.node, At<uint64_t>(*answer, 0), request.opcode == kOpendir});
      return;
    case kReaddirplus:
      return LearnMany(opened.node, *answer);
    default:
      return;
  }
}

// Ids that may be given back: not the root, and nothing is open there.
std::vector<uint64_t> FuzzKernel::Forgettable() const {
  std::vector<uint64_t> ids;
  for (const auto& known : known_)
    if (known.first != 1 && std::none_of(opened_.begin(), opened_.end(), [&](const Opened& one) {
          return one.node == known.first;
        }))
      ids.push_back(known.first);
  return ids;
}
// How many lookups of it are given back; all of them as a rule.
uint64_t FuzzKernel::Drop(uint64_t id) {
  const uint64_t lookups = known_[id].lookups;
  const uint64_t given = lookups > 1 && input_.Below(4) == 0 ? lookups - 1 : lookups;
  if (given == lookups)
    known_.erase(id);
  else
    known_[id].lookups -= given;
  return given;
}

void FuzzKernel::Forget() {
  const auto ids = Forgettable();
  if (ids.empty()) return;
  const uint64_t id = ids[input_.Below(ids.size())];
  Bytes body(8);
  Put(&body, 0, Drop(id));
  Send(kForget, id, body);
}

void FuzzKernel::ForgetMany() {
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
void FuzzKernel::Arbitrary() {
  static constexpr uint32_t kNone[] = {0, 7, 19, 31, 32, 33, 34, 37, 40, 48, 49, 52, 77, 4096};
  const std::string text = input_.Text();
  const Bytes body(text.begin(), text.end());
  const uint32_t opcode = kNone[input_.Below(std::size(kNone))];
  Require(!Ask(opcode, 1, Bytes(std::max<size_t>(body.size(), 64))), "an unknown request fails");
}

}  // namespace bailey
