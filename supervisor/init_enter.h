// bailey-enter: the last part of an exec, inside the tenant and behind all of its walls.
#pragma once

#include "supervisor/passwd_lookup.h"

namespace bailey::supervisor {

// Takes the terminal, the user's ids and the directory, and executes the program. Arguments and
// descriptors: supervisor/enter_protocol.h. Returns only when it fails.
int RunEnter(int argc, char** argv);

// Sets PATH, HOME, USER, LOGNAME and SHELL in our environment where they are missing.
void CompleteEnvironment(const PasswdUser& user);

}  // namespace bailey::supervisor
