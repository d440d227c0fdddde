// Completion: copies the data of a file that has only its attributes in the upper (metacopy) into
// it. In place, for all its names must get them. Writing takes setuid, capabilities and times away,
// so these are written down beside the file before, and restored before the file counts as
// complete: a crash in between is mended when the file is next found. Thread-safe.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <mutex>
#include <string>

#include "fs/answer.h"

namespace bailey::fs {

inline constexpr char kCapability[] = "security.capability";

// What the copying spoils of a file's attributes.
struct Settled {
  struct stat st {};
  std::string capability;  // the value of kCapability; empty: none
};

class Completion {
 public:
  Completion();

  // Before the copying: what `file` is.
  static Answer<Settled> AttributesOf(int file);
  // The data of `from` into `file`, which is open O_RDWR, has the size of its data and had the
  // attributes `settled`; they last on disk. Returns the bytes copied. After a failure the file is
  // as it was. Nobody else changes its attributes meanwhile.
  Answer<uint64_t> Copy(int from, int file, const Settled& settled);
  // Takes away the marks by which a file was known as incomplete.
  static Done Finish(int file);
  // Of an incomplete file that was just found, with the value of its kCompletionMark: if another
  // session left it in the middle of a copy, its attributes are restored. Changes the thread's
  // working directory.
  Done Mend(int directory, const std::string& name, const std::string& mark);

 private:
  struct Saved;
  const uint64_t session_;
  std::mutex mutex_;  // one of two who find the same file mends it; no other lock is taken below it
};

}  // namespace bailey::fs
