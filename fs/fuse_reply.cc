#include "fs/fuse_reply.h"

#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "fs/reading_turn.h"

namespace bailey::fs {
namespace {

// The kernel's id of a node is its address, disguised, since name_to_handle_at(2) with
// AT_HANDLE_FID tells the id to anybody. Nodes are aligned, so no id is 0 or FUSE_ROOT_ID.
uint64_t MakeDisguise() {
  static_assert(alignof(Node) >= 8);
  uint64_t random = 0;
  BAILEY_CHECK(::getrandom(&random, sizeof random, 0) == sizeof random);
  return (random & ~uint64_t{7}) | 2;
}
const uint64_t kDisguise = MakeDisguise();

}  // namespace

Node& NodeOf(fuse_req_t request, fuse_ino_t id) {
  if (id == FUSE_ROOT_ID) return TreeOf(request).root();
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the id that we gave
  return *reinterpret_cast<Node*>(id ^ kDisguise);
}

fuse_ino_t IdOf(Tree& tree, const Node& node) {
  if (&node == &tree.root()) return FUSE_ROOT_ID;
  return reinterpret_cast<fuse_ino_t>(&node) ^ kDisguise;
}

Caller CallerOf(fuse_req_t request) {
  const fuse_ctx* context = fuse_req_ctx(request);
  return {context->uid, context->gid, context->umask};
}

double AttributeTimeout(fuse_req_t request, Node& node, const struct stat& st) {
  return TreeOf(request).IsVolatile(node, st) ? 0 : kForever;
}

fuse_entry_param EntryOf(fuse_req_t request, const Entry& entry) {
  fuse_entry_param out{};
  out.ino = IdOf(TreeOf(request), *entry.node);
  out.attr = entry.st;
  out.entry_timeout = kForever;
  out.attr_timeout = AttributeTimeout(request, *entry.node, entry.st);
  return out;
}

Done SyncFile(int file, bool only_data) {
  return DoneOrErrno(only_data ? ::fdatasync(file) : ::fsync(file));
}

void SyncNode(fuse_req_t request, fuse_ino_t id, bool only_data) {
  ReadingTurn::GiveUpMine();
  const auto file = TreeOf(request).OpenToSync(NodeOf(request, id));
  if (!file)
    fuse_reply_err(request, file.error().number);
  else
    fuse_reply_err(request, *file ? NumberOf(SyncFile(file->get(), only_data)) : 0);
}

void ReplyDone(fuse_req_t request, const Done& done) { fuse_reply_err(request, NumberOf(done)); }

void ReplyEntry(fuse_req_t request, const Answer<Entry>& entry) {
  if (!entry) {
    fuse_reply_err(request, entry.error().number);
    return;
  }
  const fuse_entry_param out = EntryOf(request, *entry);
  Tree& tree = TreeOf(request);
  // The kernel counts a lookup only if the answer arrived; undo ours otherwise.
  if (fuse_reply_entry(request, &out) != 0) tree.Forget(*entry->node, 1);
}

void ReplyAttributes(fuse_req_t request, Node& node, const Answer<struct stat>& st) {
  if (!st)
    fuse_reply_err(request, st.error().number);
  else
    fuse_reply_attr(request, &*st, AttributeTimeout(request, node, *st));
}

}  // namespace bailey::fs
