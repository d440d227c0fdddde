// ThreadPlace: what each serving thread has for itself: its working directory and its umask.
// Attributes of symlinks, fifos and sockets have no call that takes a directory and a name, and
// /proc/self/fd is not there in an empty root: a thread steps into the directory and uses the name.
// O_CREAT takes the umask from the thread too, and only the kernel can apply default ACLs with it.
#pragma once

#include <sys/types.h>

namespace bailey::fs {

class ThreadPlace {
 public:
  // Before a thread uses any of the below: unshare(CLONE_FS). False and errno.
  static bool Separate();
  // fchdir. False and errno.
  static bool Enter(int directory);
  static void SetUmask(mode_t mask);
};

}  // namespace bailey::fs
