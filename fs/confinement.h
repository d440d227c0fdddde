// The walls that the server raises around itself before it reads the first request: taking it over
// yields its layers and nothing else. Every drop is checked; a wall that does not stand is an error
// after which the process must exit.
#pragma once

#include "base/result.h"

namespace bailey::fs {

// Namespaces of its own, an empty root, and the capabilities of DESIGN.md's table. Single-threaded.
Status EnterWalls();

// The seccomp allow-list, for all threads. Last: it forbids what EnterWalls needs.
Status AllowOnlyServing();

}  // namespace bailey::fs
