// The edge to libfuse: each request translated into a call of the Tree, and its answer back.
#pragma once

#include <fuse3/fuse_lowlevel.h>

#include <optional>

#include "base/unique_fd.h"
#include "fs/directory_listing.h"
#include "fs/handle_set.h"
#include "fs/listing_budget.h"
#include "fs/tree.h"

namespace bailey::fs {

// A file that the kernel does not read and write by itself; the number of one that it does is 0.
struct FileHandle {
  UniqueFd file;
};
// An open directory. Its names are read when first asked for, and again after a rewind; the
// kernel, which caches them too, may never ask.
struct DirectoryHandle {
  std::optional<DirectoryListing> listing;
  ListingBudget::Share share;
};

// What the operations serve; the transport's user.
struct FuseServer {
  Tree& tree;
  bool shows_counters = false;  // fs/counter_text.h
  HandleSet<FileHandle> files = {};
  ListingBudget listings = {};
  HandleSet<DirectoryHandle> directories = {};
};

const fuse_lowlevel_ops& FuseOperations();

}  // namespace bailey::fs
