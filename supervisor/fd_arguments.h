// FdArguments: the descriptors of a child, numbered from 3 on, each named on its command line.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace bailey::supervisor {

class FdArguments {
 public:
  FdArguments(std::vector<std::pair<int, int>>& fds, std::vector<std::string>& args)
      : fds_(fds), args_(args) {}

  void Add(const char* flag, int fd) { Put(flag, "", fd); }           // --flag 3
  void AddNamed(const char* flag, const std::string& name, int fd) {  // --flag name=3
    Put(flag, name + "=", fd);
  }

 private:
  void Put(const char* flag, const std::string& before, int fd) {
    const int number = 3 + static_cast<int>(fds_.size());
    fds_.emplace_back(fd, number);
    args_.emplace_back(flag);
    args_.push_back(before + std::to_string(number));
  }
  std::vector<std::pair<int, int>>& fds_;
  std::vector<std::string>& args_;
};

}  // namespace bailey::supervisor
