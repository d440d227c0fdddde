// What the supervisor tells bailey-enter (bailey-init under that name) and what it answers. By the
// time it runs, it stands behind every wall, and nothing in its memory is of the host.
//
//   bailey-enter FLAGS USER CWD PROGRAM ARG…      FLAGS: "t" stdin is its terminal,
//                                                 "p" kProgram is what to execute; or "-"
// An EnterReport on kReport if it fails; the end of file if the program runs.
#pragma once

#include <cstdint>

namespace bailey::supervisor {

enum EnterDescriptor : int { kEnterReport = 3, kEnterProgram = 4 };

enum class EnterStep : int32_t { kHelper, kTerminal, kUser, kGroups, kDirectory, kExecute };

struct EnterReport {
  EnterStep step;
  int32_t error;
};

}  // namespace bailey::supervisor
