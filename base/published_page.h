// PublishedPage: which ports of a tenant are published on the host now, in shared memory. Its
// supervisor writes it; baileyd and the tenant's proxy read it and ask nobody. Nobody else can
// write it, whatever descriptor they have.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "base/port_set.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey {

class PublishedPage {
 public:
  PublishedPage() = default;
  // A new one, all zeros, for its writer. fd() is for the readers.
  static Result<PublishedPage> Make();
  // For reading. EINVAL unless `fd`, which is borrowed, comes from Make().
  static Result<PublishedPage> Map(int fd);
  PublishedPage(PublishedPage&& other) noexcept
      : fd_(std::move(other.fd_)), words_(std::exchange(other.words_, nullptr)) {}
  PublishedPage& operator=(PublishedPage&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(words_, other.words_);
    return *this;
  }
  ~PublishedPage();

  explicit operator bool() const { return words_ != nullptr; }
  int fd() const { return fd_.get(); }
  void Set(PublishedPort port, bool published);
  void Clear();
  // What is in it now; other than the writer may see half of what changes meanwhile.
  PortSet Read() const;

 private:
  UniqueFd fd_;
  std::atomic<uint64_t>* words_ = nullptr;
};

}  // namespace bailey
