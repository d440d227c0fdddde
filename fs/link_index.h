// LinkIndex: the hard links that a lower layer has, once they are copied up. Then one file of the
// upper stands for all their names, of which the upper has some and the lower still shows the
// others. As the index of the kernel's overlayfs does it: a directory beside the work area, kept
// from start to start, with one more link to each such file, named after the inode of the lower.
// Guarded by the tree lock: changes need it exclusively.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fs/answer.h"
#include "fs/layer_set.h"

namespace bailey::fs {

// A hard-linked file of a lower. Layers count from the bottom: one more on top changes no key.
struct LinkKey {
  uint16_t layer_from_bottom = 0;
  uint64_t number = 0;  // st_ino
  auto operator<=>(const LinkKey&) const = default;

  std::string Text() const;  // the entry's name
  static std::optional<LinkKey> Parse(std::string_view text);
};

// The value of kLinkMark: how many links there are to show, in a form that stays true whatever
// instruction the server dies at. While names of the upper and of the lower come and go together it
// is told as a sum; while the upper alone gets a name that showed already, as the difference to
// the links that the file has on disk, the index' own included.
struct LinkMark {
  bool is_sum = false;
  int64_t value = 0;
  // Of the lower file: a lower that was replaced may have another one with that number.
  int64_t size = 0, mtime = 0, mtime_ns = 0;

  bool IsOf(const struct stat& lower) const;
  std::string Text() const;
  static std::optional<LinkMark> Parse(std::string_view text);
  // Before the first copy-up: all links are the lower's.
  static LinkMark OfLower(const struct stat& lower);
};

struct LinkEntry {
  LinkKey key;
  int directory = -1;  // the index: with `name` a place of the file that is always there
  std::string name;
  ino_t upper_number = 0;
  LinkMark mark;

  // `st` is of the file itself.
  int64_t LinksToShow(const struct stat& st) const {
    return mark.is_sum ? mark.value : static_cast<int64_t>(st.st_nlink) + mark.value;
  }
};

class LinkIndex {
 public:
  // `work` holds the work area; -1: a root without an upper. Reads what is there, and removes the
  // entries of files that have no name left. Before anything else; alone.
  Done Open(const LayerSet& layers, int work);

  // Of a file of a lower with several links, found at a name of a directory; nothing for one that
  // is bound into the layer from elsewhere: its number may be another file's one day.
  std::optional<LinkKey> KeyOf(LayerIndex layer, int directory, const std::string& name,
                               const struct stat& st) const;
  LinkEntry* Find(const LinkKey& key) const;
  // The entry to which a file of the upper belongs.
  LinkEntry* FindUpper(const struct stat& st) const;

  // Enters a finished copy of the lower file, which carries `mark`. Its name is not in the tree
  // yet.
  Answer<LinkEntry*> Add(const LinkKey& key, const LinkMark& mark, int directory, const char* name);
  // Around the step in which the upper gets a name that showed already.
  Done BeginName(LinkEntry& entry);
  Done EndName(LinkEntry& entry);
  // After names have gone: false if the file has none left; then the entry is no more.
  bool Keep(LinkEntry& entry);
  void Remove(LinkEntry& entry);

 private:
  Done Load(const std::string& name);
  Done Write(LinkEntry& entry, const LinkMark& mark);
  Answer<struct stat> Stat(const LinkEntry& entry) const;
  LinkEntry* Insert(LinkEntry entry);

  const LayerSet* layers_ = nullptr;
  int work_ = -1;
  UniqueFd fd_;                 // made with the first entry
  std::vector<dev_t> devices_;  // of the layers' roots
  std::map<LinkKey, std::unique_ptr<LinkEntry>> entries_;
  std::unordered_map<ino_t, LinkEntry*> by_upper_number_;
};

}  // namespace bailey::fs
