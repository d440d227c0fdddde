// The kernel's side of a FUSE connection, played from a fuzz input: messages as /dev/fuse delivers
// them. Bodies, names, sizes, flags and order are the input's. What the kernel itself vouches for
// holds, since the server relies on it: node ids and file handles are such as the server gave out
// and has not been told to forget, an operation meets a node of a kind that has it, names have no
// slash, sizes are those of the message; only what a lookup did not find is made or linked, only
// what it found is renamed, and no directory into itself.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz_input.h"

namespace bailey {

class FuzzKernel {
 public:
  // `device`: our end of a SOCK_SEQPACKET socket pair.
  FuzzKernel(int device, FuzzInput& input) : device_(device), input_(input) { known_[1] = {}; }

  // INIT; false if it is refused.
  bool Begin();
  // One request, and its answer. Aborts when the server breaks the protocol, or shows a node as of
  // another kind than before.
  void Step();

 private:
  using Bytes = std::vector<uint8_t>;
  struct Operation;
  enum class Of { kAny, kDirectory, kFile, kLink, kOpenFile, kOpenDirectory };
  // What the kernel remembers of what the server has told it.
  struct Known {
    mode_t type = S_IFDIR;
    uint64_t lookups = 0;
    uint64_t parent = 0;  // of a directory
  };
  struct Opened {
    uint64_t node = 0, handle = 0;
    bool directory = false;
  };
  struct Request;

  // The body of the answer; nullopt for an error.
  std::optional<Bytes> Ask(uint32_t opcode, uint64_t node, const Bytes& body);
  void Send(uint32_t opcode, uint64_t node, const Bytes& body);
  uint64_t NodeFor(Of of);
  const Opened* OpenedFor(Of of);
  // The node at a name, 0 when there is none; nullopt when it cannot be told.
  std::optional<uint64_t> LookUp(uint64_t parent, const std::string& name);
  bool IsWithin(uint64_t directory, uint64_t above) const;

  void Perform(const Operation& operation);
  // Makes of a body what the kernel could have sent. False: nothing, as things are.
  bool Vouch(Request& request);
  bool VouchForNames(Request& request);
  void Note(const Request& request, const std::optional<Bytes>& answer);
  uint64_t Learn(uint64_t parent, const Bytes& entry, size_t offset = 0);
  void LearnMany(uint64_t parent, const Bytes& listed);

  std::vector<uint64_t> Forgettable() const;
  uint64_t Drop(uint64_t id);
  void Forget();
  void ForgetMany();
  void Arbitrary();

  static const Operation kOperations[];
  static uint32_t Flags(uint32_t opcode, uint32_t flags);

  const int device_;
  FuzzInput& input_;
  uint64_t unique_ = 0;
  std::map<uint64_t, Known> known_;
  std::vector<Opened> opened_;
};

}  // namespace bailey
