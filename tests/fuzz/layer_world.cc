#include "tests/fuzz/layer_world.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <array>
#include <filesystem>

#include "tests/fuzz/fuzz_input.h"

namespace bailey {
namespace {

namespace stdfs = std::filesystem;

constexpr const char* kHome = "/mnt";
constexpr std::array<const char*, 6> kFolders = {"outside", "lower1", "lower2",
                                                 "upper",   "work",   "outside/inner"};
constexpr std::array<const char*, 5> kNames = {"a", "b", "c", "d", "ee"};
constexpr std::array<const char*, 9> kMarks = {
    "trusted.overlay.opaque", "trusted.overlay.redirect", "trusted.overlay.metacopy",
    "trusted.overlay.impure", "trusted.bailey.ino",       "trusted.overlay.origin",
    "trusted.bailey.links",   "trusted.bailey.impure",    "trusted.bailey.completing"};
// What a mark may say: right, wrong and hostile.
// Of another session: setuid, a mode and times (completion.h).
constexpr char kHalfCopied[48] = {1, 0, 0, 0, 0, 0, 0, 0, '\xed', '\x09'};
constexpr std::array<std::string_view, 20> kValues = {"y",
                                                      "a",
                                                      "/a",
                                                      "/a/b",
                                                      "b",
                                                      "x",
                                                      "",
                                                      "..",
                                                      "../b",
                                                      "/..",
                                                      "/../outside",
                                                      "/a/../../outside",
                                                      "/outside/f",
                                                      "a/../b",
                                                      "12345678901234567890",
                                                      "//",
                                                      "=2 1 0 0",
                                                      "+-1 1 0 0",
                                                      "=0 0 0 0",
                                                      {kHalfCopied, sizeof kHalfCopied}};
constexpr std::array<std::string_view, 8> kTargets = {"a",
                                                      "../outside/f",
                                                      "/mnt/outside/f",
                                                      "..",
                                                      "/",
                                                      "loop",
                                                      "../../../../mnt/outside/inner",
                                                      "/proc/self/root"};

std::string At(const std::string& path) { return std::string(kHome) + "/" + path; }

void WriteFile(const std::string& path, const std::string& text, off_t size) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file) return;
  (void)!::write(file.get(), text.data(), text.size());
  if (size > 0) (void)!::ftruncate(file.get(), size);
}

// What a tree is, as text: everything but access times.
void Describe(const std::string& path, std::string* text) {
  for (const auto& entry : stdfs::recursive_directory_iterator(path)) {
    struct stat st {};
    if (::lstat(entry.path().c_str(), &st) != 0) continue;
    *text += entry.path().string() + ' ' + std::to_string(st.st_ino) + ' ' +
             std::to_string(st.st_mode) + ' ' + std::to_string(st.st_size) + ' ' +
             std::to_string(st.st_nlink) + ' ' + std::to_string(st.st_uid) + ' ' +
             std::to_string(st.st_ctim.tv_sec) + '.' + std::to_string(st.st_ctim.tv_nsec) + '\n';
  }
}

}  // namespace

void EnterLayerWorld() {
  Require(::unshare(CLONE_NEWNS) == 0, "unshare");
  Require(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "private mounts");
  Require(::mount("fuzz", kHome, "tmpfs", 0, "size=32m,nr_inodes=20000") == 0, "mount tmpfs");
}

LayerWorld::LayerWorld(FuzzInput& input) {
  for (const char* folder : kFolders) ::mkdir(At(folder).c_str(), 0755);
  WriteFile(At("outside/f"), "secret", 0);
  for (const char* layer : {"lower1", "lower2", "upper"})
    for (size_t count = input.Below(9); count > 0; --count) MakeEntry(input, At(layer));
  for (size_t count = input.Below(4); count > 0; --count) MakeIndexEntry(input);
  before_ = Snapshot();
}

LayerWorld::~LayerWorld() {
  Require(Snapshot() == before_, "nothing outside and no lower has changed");
  Require(::chdir("/") == 0, "chdir");
  for (const char* folder : kFolders) stdfs::remove_all(At(folder));
}

std::string LayerWorld::Snapshot() const {
  std::string text;
  for (const char* folder : {"outside", "lower1", "lower2"}) Describe(At(folder), &text);
  return text;
}

std::string LayerWorld::Name(FuzzInput& input) {
  const size_t which = input.Below(kNames.size() + 1);
  if (which < kNames.size()) return kNames[which];
  std::string name = input.Text();
  for (char& c : name)
    if (c == '/' || c == '\0') c = '_';
  return name.empty() || name == "." || name == ".." ? "_" : name;
}

void LayerWorld::MakeEntry(FuzzInput& input, const std::string& layer) {
  std::string path = layer;
  for (size_t depth = input.Below(3); depth > 0; --depth) {
    path += "/" + Name(input);
    if (::mkdir(path.c_str(), 0755) == 0 && input.Below(3) == 0) Mark(input, path);
  }
  path += "/" + Name(input);
  switch (input.Below(9)) {
    case 0:
    case 1:
      WriteFile(path, input.Text(), 0);
      break;
    case 2:  // a file without its data, as overlayfs' metacopy leaves it
      WriteFile(path, "", static_cast<off_t>(1 + input.Number(2)));
      ::lsetxattr(path.c_str(), "trusted.overlay.metacopy", "", 0, 0);
      break;
    case 3:
    case 4:
      ::mkdir(path.c_str(), 0755);
      break;
    case 5:
      ::mknod(path.c_str(), S_IFCHR, 0);  // a whiteout
      break;
    case 6:
      (void)!::symlink(std::string(kTargets[input.Below(kTargets.size())]).c_str(), path.c_str());
      break;
    case 7:
      ::mknod(path.c_str(), S_IFIFO | 0644, 0);
      break;
    default: {
      const std::string from = layer + "/" + Name(input);
      ::link(from.c_str(), path.c_str());
    }
  }
  for (size_t marks = input.Below(3); marks > 0; --marks) Mark(input, path);
}

// What the index of hard links may hold after years: an entry for a file of a lower or for none, of
// a file that the upper has or of one without a name, with a mark that is right or any.
void LayerWorld::MakeIndexEntry(FuzzInput& input) {
  const std::string index = At("work/bailey-links");
  ::mkdir(index.c_str(), 0700);
  const size_t from_bottom = input.Below(3);
  const std::string lower = At(from_bottom == 0 ? "lower2" : "lower1") + "/" + Name(input);
  struct stat st {};
  const bool there = ::lstat(lower.c_str(), &st) == 0;
  const std::string name =
      there ? std::to_string(from_bottom) + "-" + std::to_string(st.st_ino) : Name(input);
  const std::string entry = index + "/" + name;
  const std::string upper = At("upper") + "/" + Name(input);
  if (::link(upper.c_str(), entry.c_str()) != 0) WriteFile(entry, input.Text(), 0);
  ::lsetxattr(entry.c_str(), "trusted.bailey.ino", "77", 2, 0);
  if (input.Below(4) == 0) return Mark(input, entry);
  const std::string mark = (input.Below(2) == 0 ? "=" : "+-") + std::to_string(input.Below(5)) +
                           " " + std::to_string(st.st_size) + " " +
                           std::to_string(st.st_mtim.tv_sec) + " " +
                           std::to_string(st.st_mtim.tv_nsec);
  ::lsetxattr(entry.c_str(), "trusted.bailey.links", mark.data(), mark.size(), 0);
}

void LayerWorld::Mark(FuzzInput& input, const std::string& path) {
  const char* mark = kMarks[input.Below(kMarks.size())];
  const size_t which = input.Below(kValues.size() + 1);
  const std::string value = which < kValues.size() ? std::string(kValues[which]) : input.Text();
  ::lsetxattr(path.c_str(), mark, value.data(), value.size(), 0);
}

fs::OpenedLayers LayerWorld::Open() const {
  fs::Options options;
  options.lowers = {At("lower1"), At("lower2")};
  options.upper = At("upper");
  options.work = At("work");
  auto layers = fs::OpenLayers(options);
  Require(layers.has_value(), "layers are opened");
  return std::move(*layers);
}

bool LayerWorld::IsOutside(const struct stat& st) const {
  struct stat outside {};
  for (const char* path : {"outside", "outside/f", "outside/inner"})
    if (::lstat(At(path).c_str(), &outside) == 0 && outside.st_ino == st.st_ino &&
        outside.st_dev == st.st_dev)
      return true;
  return false;
}

}  // namespace bailey
