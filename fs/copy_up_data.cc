// CopyUp: the data of a file whose attributes were copied up before.
#include <fcntl.h>

#include "fs/copy_up.h"
#include "fs/reading_turn.h"

namespace bailey::fs {

Done CopyUp::Complete(Node& node, Data data) {
  UniqueFd file, lower;
  Settled settled;
  {
    const std::unique_lock lock(at_.tree_lock);
    auto itself = at_.locator.OpenItself(node, O_RDWR);
    if (!itself) return itself.error();
    auto opened = at_.locator.Open(node, O_RDONLY | O_NOATIME);
    if (!opened) return opened.error();
    file = std::move(*itself);
    lower = std::move(*opened);
    if (data == Data::kDropped) {
      // Empty, it counts as complete: no crash shows a file of zeros.
      if (::ftruncate(file.get(), 0) != 0) return Refuse();
      return CommitData(node, std::move(file), std::move(lower));
    }
    auto attributes = Completion::AttributesOf(file.get());
    if (!attributes) return attributes.error();
    settled = std::move(*attributes);
    node.settled = std::make_unique<Settled>(settled);
    node.completing = true;
  }
  ReadingTurn::GiveUpMine();
  const auto copied = at_.completion.Copy(lower.get(), file.get(), settled);
  const std::unique_lock lock(at_.tree_lock);
  node.settled.reset();
  node.completing = false;
  if (!copied) return copied.error();
  at_.counters.Add(FsCounter::kCopyUpBytes, *copied);
  return CommitData(node, std::move(file), std::move(lower));
}

// The tree lock is held exclusively.
Done CopyUp::CommitData(Node& node, UniqueFd file, UniqueFd lower) {
  BAILEY_TRY(Completion::Finish(file.get()));
  if (at_.backings.InUse(node)) {
    Succeed(node, std::move(lower), std::move(node.kept));
    return {};
  }
  at_.backings.Retire(node);
  node.data.reset();
  node.incomplete = false;
  return {};
}

}  // namespace bailey::fs
