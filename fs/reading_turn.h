// ReadingTurn: which of the readers may take the next request. The one that has the turn keeps it
// from request to request, so a client that waits for each answer is served by one thread, whose
// core and caches are warm: waking another for each request costs more than the work. It gives the
// turn up when more requests are waiting, and before what may take long.
#pragma once

#include <mutex>

namespace bailey::fs {

class ReadingTurn {
 public:
  // Waits for the turn, unless the calling thread has it.
  void Take();
  // Lets another thread read. Nothing happens if the calling thread does not have the turn.
  void GiveUp();
  // The same for whichever turn the calling thread has: before a copy, an fsync, a wait.
  static void GiveUpMine();

 private:
  std::mutex mutex_;  // held while the turn is; before all other locks
};

}  // namespace bailey::fs
