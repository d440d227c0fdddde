#include "fs/reading_turn.h"

namespace bailey::fs {
namespace {

thread_local ReadingTurn* mine = nullptr;

}  // namespace

void ReadingTurn::Take() {
  if (mine == this) return;
  mutex_.lock();
  mine = this;
}

void ReadingTurn::GiveUp() {
  if (mine != this) return;
  mine = nullptr;
  mutex_.unlock();
}

void ReadingTurn::GiveUpMine() {
  if (mine != nullptr) mine->GiveUp();
}

}  // namespace bailey::fs
