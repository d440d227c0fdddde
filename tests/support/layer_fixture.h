// Directories to make a layered root of, in a temporary directory of the test's own, and the parts
// of fs/ above them. Needs root: whiteouts and trusted attributes.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "fs/tree.h"

namespace bailey::fs {

class LayerFixture : public testing::Test {
 protected:
  LayerFixture() {
    std::string path = (std::filesystem::temp_directory_path() / "layers.XXXXXX").string();
    if (::mkdtemp(path.data()) == nullptr) ADD_FAILURE() << "mkdtemp " << path;
    home_ = path;
    for (const char* name : {"lower1", "lower2", "lower3", "upper", "work"})
      std::filesystem::create_directory(home_ / name);
  }
  ~LayerFixture() override {
    tree_.reset();
    std::filesystem::remove_all(home_);
  }

  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((home_ / path).parent_path());
    std::ofstream(home_ / path) << text;
  }
  void MakeDirectory(const std::string& path) { std::filesystem::create_directories(home_ / path); }
  void WhiteOut(const std::string& path) {
    std::filesystem::create_directories((home_ / path).parent_path());
    ASSERT_EQ(::mknod((home_ / path).c_str(), S_IFCHR, 0), 0);
  }
  void Mark(const std::string& path, const char* mark, const std::string& value) {
    ASSERT_EQ(::lsetxattr((home_ / path).c_str(), mark, value.data(), value.size(), 0), 0) << path;
  }
  std::string MarkOf(const std::string& path, const char* mark) {
    std::string value(256, '\0');
    const ssize_t size = ::lgetxattr((home_ / path).c_str(), mark, value.data(), value.size());
    value.resize(size < 0 ? 0 : static_cast<size_t>(size));
    return value;
  }
  std::string Read(const std::string& path) {
    std::ifstream file(home_ / path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  struct stat StatOf(const std::string& path) {
    struct stat st {};
    EXPECT_EQ(::lstat((home_ / path).c_str(), &st), 0) << path;
    return st;
  }
  UniqueFd Open(const std::string& path) {
    return UniqueFd(::open((home_ / path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }

  // The root over lower1 (topmost) … `lowers` and, if wanted, the upper. No kernel is behind it.
  Tree& MakeTree(int lowers, bool with_upper = true, const std::vector<std::string>& hidden = {}) {
    std::vector<UniqueFd> layers;
    for (int i = 1; i <= lowers; ++i) layers.push_back(Open("lower" + std::to_string(i)));
    tree_.reset();  // gives the lock of the work directory up
    auto work = WorkArea::Open(with_upper ? Open("work") : UniqueFd());
    EXPECT_TRUE(work) << work.error().Message();
    tree_ = std::make_unique<Tree>(
        Tree::Options{LayerSet(with_upper ? Open("upper") : UniqueFd(), std::move(layers)),
                      std::move(*work), *Projection::Make(hidden), -1, 16, nullptr});
    EXPECT_TRUE(tree_->Open());
    return *tree_;
  }
  // The node at a path below the root; nullptr when there is none.
  Node* Walk(Tree& tree, const std::string& path) {
    Node* node = &tree.root();
    for (const auto& name : std::filesystem::path(path)) {
      const auto entry = tree.LookUp(*node, name.string());
      if (!entry) return nullptr;
      node = entry->node;
    }
    return node;
  }
  std::vector<std::string> Names(Tree& tree, const std::string& path) {
    std::vector<std::string> names;
    const auto listing = tree.List(*Walk(tree, path));
    EXPECT_TRUE(listing);
    for (size_t i = 2; i < listing->size(); ++i) names.emplace_back((*listing)[i].name);
    std::sort(names.begin(), names.end());
    return names;
  }

  std::filesystem::path home_;
  std::unique_ptr<Tree> tree_;
};

}  // namespace bailey::fs
