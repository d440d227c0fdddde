#include "base/published_page.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bit>

namespace bailey {
namespace {

constexpr size_t kBytes = PortSet::kWords * sizeof(uint64_t);
// FUTURE_WRITE leaves the mapping that is there.
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;

Result<std::atomic<uint64_t>*> MapWords(int fd, int protection) {
  void* words = ::mmap(nullptr, kBytes, protection, MAP_SHARED, fd, 0);
  if (words == MAP_FAILED) return Errno("map the published ports");
  return static_cast<std::atomic<uint64_t>*>(words);
}

}  // namespace

Result<PublishedPage> PublishedPage::Make() {
  PublishedPage page;
  page.fd_.Reset(::memfd_create("published-ports", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!page.fd_) return Errno("memfd_create");
  if (::ftruncate(page.fd(), kBytes) != 0) return Errno("ftruncate");
  const auto words = MapWords(page.fd(), PROT_READ | PROT_WRITE);
  if (!words) return words.error();
  page.words_ = *words;
  if (::fcntl(page.fd(), F_ADD_SEALS, kSeals) != 0) return Errno("seal the published ports");
  return page;
}

Result<PublishedPage> PublishedPage::Map(int fd) {
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) return Errno("published ports", EINVAL);
  if (::lseek(fd, 0, SEEK_END) != static_cast<off_t>(kBytes))
    return Errno("published ports", EINVAL);
  const auto words = MapWords(fd, PROT_READ);
  if (!words) return words.error();
  PublishedPage page;
  page.words_ = *words;
  return page;
}

PublishedPage::~PublishedPage() {
  if (words_ != nullptr) ::munmap(words_, kBytes);
}

void PublishedPage::Set(PublishedPort port, bool published) {
  std::atomic<uint64_t>& word = words_[PortSet::Word(port)];
  if (published)
    word.fetch_or(PortSet::Bit(port), std::memory_order_relaxed);
  else
    word.fetch_and(~PortSet::Bit(port), std::memory_order_relaxed);
}

void PublishedPage::Clear() {
  for (size_t i = 0; i < PortSet::kWords; ++i)
    if (words_[i].load(std::memory_order_relaxed) != 0) words_[i] = 0;
}

PortSet PublishedPage::Read() const {
  PortSet ports;
  for (size_t i = 0; i < PortSet::kWords; ++i) {
    for (uint64_t bits = words_[i].load(std::memory_order_relaxed); bits != 0; bits &= bits - 1)
      ports.Insert(PortSet::At(i * 64 + static_cast<size_t>(std::countr_zero(bits))));
  }
  return ports;
}

}  // namespace bailey
