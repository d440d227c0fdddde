#include "base/counters.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace bailey {
namespace {

constexpr size_t kPage = 4096;

}  // namespace

Result<UniqueFd> MakeCounterMemory(const char* name) {
  UniqueFd memory(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory) return Errno("memfd_create");
  if (::ftruncate(memory.get(), kPage) != 0) return Errno("ftruncate");
  if (::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return Errno("seal the counters");
  return memory;
}

Result<void*> MapCounterMemory(int fd, bool writable) {
  // Without the seal, whoever else holds it could shrink it and kill us with SIGBUS.
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) return Errno("counters are not sealed", EINVAL);
  if (::lseek(fd, 0, SEEK_END) < static_cast<off_t>(kPage)) return Errno("counters", EINVAL);
  void* page =
      ::mmap(nullptr, kPage, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) return Errno("map the counters");
  return page;
}

void UnmapCounterMemory(void* page) {
  if (page != nullptr) ::munmap(page, kPage);
}

}  // namespace bailey
