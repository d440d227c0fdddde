// Tree: opening, creating and closing files.
#include <fcntl.h>

#include "fs/tree.h"

namespace bailey::fs {
namespace {

bool IsWrite(int flags) { return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0; }

// Without passthrough the kernel reads whole pages of a file opened for writing only, and says
// itself where appended data go.
int FlagsForOurselves(int flags) {
  const int mode = (flags & O_ACCMODE) == O_RDONLY ? O_RDONLY : O_RDWR;
  return mode | (flags & (O_SYNC | O_DSYNC));
}

}  // namespace

// Registers `file` as the node's backing and counts an open; 0: to be served by read and write.
int32_t Tree::Passthrough(Node& node, int file) {
  if (node.no_passthrough) return 0;
  const int32_t id = backings_.Register(node, file);
  if (id != 0) counters_.Add(FsCounter::kPassthroughOpens);
  return id;
}

Answer<OpenFile> Tree::FinishOpen(Node& node, int flags, UniqueFd file) {
  OpenFile opened;
  if (IsWrite(flags)) node.written = true;
  if ((flags & O_ACCMODE) == O_RDWR) node.mappable = true;
  opened.backing_id = Passthrough(node, file.get());
  if (opened.backing_id == 0) opened.file = std::move(file);
  ++node.handles;
  counters_.Add(FsCounter::kOpenFiles);
  return opened;
}

Answer<OpenFile> Tree::OpenNode(Node& node, int flags) {
  const bool write = IsWrite(flags);
  const bool truncate = (flags & O_TRUNC) != 0;
  if (write)
    BAILEY_TRY(copy_up_.Ensure(node, truncate ? CopyUp::Data::kDropped : CopyUp::Data::kWanted));
  const std::shared_lock lock(tree_lock_);
  if (Node* successor = node.successor; successor != nullptr) {
    // The lower file is open still, and an inode has one backing file only. A reader may share it
    // while its data are those of the copy; else the caller must look the name up again.
    if (write || node.Current().written) return Refuse(ESTALE);
  }
  if (truncate) {
    const auto file = locator_.Open(node, O_WRONLY);
    if (!file) return file.error();
    if (::ftruncate(file->get(), 0) != 0) return Refuse();
  }
  if (!node.no_passthrough) {
    if (const int32_t id = backings_.Reuse(node); id != 0) {
      if (write) node.written = true;
      if ((flags & O_ACCMODE) == O_RDWR) node.mappable = true;
      ++node.handles;
      counters_.Add(FsCounter::kPassthroughOpens);
      counters_.Add(FsCounter::kOpenFiles);
      return OpenFile{id, UniqueFd()};
    }
  }
  auto file = locator_.Open(node, node.no_passthrough ? FlagsForOurselves(flags) : O_RDONLY);
  if (!file) return file.error();
  if (!node.no_passthrough) {
    auto opened = FinishOpen(node, flags, std::move(*file));
    if (!opened || opened->backing_id != 0) return opened;
    // No passthrough for this file: ours must be open as the caller asked for it.
    auto own = locator_.Open(node, FlagsForOurselves(flags));
    if (!own) {
      Close(node);
      return own.error();
    }
    opened->file = std::move(*own);
    return opened;
  }
  return FinishOpen(node, flags, std::move(*file));
}

void Tree::Close(Node& node) {
  --node.handles;
  counters_.Subtract(FsCounter::kOpenFiles);
  if (!node.no_passthrough) backings_.Close(node);
}

Answer<UniqueFd> Tree::Reopen(Node& node, int flags) {
  const std::shared_lock lock(tree_lock_);
  return locator_.Open(node, flags);
}

Answer<UniqueFd> Tree::OpenToSync(Node& node) {
  const std::shared_lock lock(tree_lock_);
  Node& current = node.Current();
  if (!current.in_upper) return UniqueFd();
  return locator_.OpenItself(current, O_RDONLY);
}

Refusal Tree::Deny(int number) {
  counters_.Add(FsCounter::kDenied);
  return Refuse(number);
}

// The parent in the upper, and nothing that the tenant must not make. The tree lock is not held.
Done Tree::MayCreate(Node& parent, const std::string& name) {
  BAILEY_TRY(copy_up_.Ensure(parent));
  const std::shared_lock lock(tree_lock_);
  if (projection_.Hides(parent, name)) return Deny(EPERM);
  if (parent.gone) return Refuse(ENOENT);
  return {};
}

Node* Tree::NodeOfNewcomer(const struct stat& st, Node& parent, const std::string& name) {
  Found found;
  found.st = st;
  found.number = numbers_.Map(st.st_dev, st.st_ino);
  found.in_upper = true;
  Node* node = NodeOf(found, parent, name);
  if (node->is_directory()) node->directory->purity = Directory::Purity::kPure;
  return node;
}

Answer<Tree::Created> Tree::Create(Node& parent, const std::string& name, mode_t mode, int flags,
                                   const Caller& caller) {
  BAILEY_TRY(MayCreate(parent, name));
  const std::shared_lock lock(tree_lock_);
  const auto fd = fds_.Upper(parent);
  if (!fd) return fd.error();
  auto made =
      MakeNewcomer(work_, (*fd)->get(), name, {(mode & 07777) | S_IFREG, {}, false}, caller);
  if (!made) return made.error();
  Node* node = NodeOfNewcomer(made->st, parent, name);
  auto file = FinishOpen(*node, flags, std::move(made->file));
  return Created{{node, Shown(*node, made->st)}, std::move(*file)};
}

Answer<Tree::Created> Tree::CreateNameless(Node& parent, mode_t mode, int flags,
                                           const Caller& caller) {
  BAILEY_TRY(MayCreate(parent, ""));
  const std::shared_lock lock(tree_lock_);
  const auto fd = fds_.Upper(parent);
  if (!fd) return fd.error();
  WorkItem item(work_, work_.NewName());
  auto made = MakeNameless(work_, (*fd)->get(), mode, caller, item.name());
  if (!made) return made.error();
  auto node = std::make_unique<Node>();
  node->type = S_IFREG;
  node->number = numbers_.Map(made->st.st_dev, made->st.st_ino);
  node->in_upper = true;
  node->gone = true;
  node->kept.Reset(::fcntl(made->file.get(), F_DUPFD_CLOEXEC, 0));
  if (!node->kept) return Refuse();
  node->work_name = item.Release();
  Node* inserted = table_.Insert(std::move(node));
  counters_.Add(FsCounter::kNodes);
  auto file = FinishOpen(*inserted, flags, std::move(made->file));
  return Created{{inserted, Shown(*inserted, made->st)}, std::move(*file)};
}

}  // namespace bailey::fs
