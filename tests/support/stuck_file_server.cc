// Stands in the place of bailey-fs: answers FUSE's INIT, and nothing after it. What reads its mount
// then cannot be killed until the connection is aborted.
#include <linux/fuse.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>

namespace {

int NumberAfter(int argc, char** argv, const char* flag) {
  for (int i = 1; i + 1 < argc; ++i)
    if (std::strcmp(argv[i], flag) == 0) return std::atoi(argv[i + 1]);
  return -1;
}

bool AnswerInit(int device) {
  alignas(fuse_in_header) std::array<char, 1 << 17> request;
  if (::read(device, request.data(), request.size()) < 0) return false;
  fuse_in_header asked{};
  std::memcpy(&asked, request.data(), sizeof asked);
  struct {
    fuse_out_header header;
    fuse_init_out init;
  } reply{};
  reply.header = {sizeof reply, 0, asked.unique};
  reply.init.major = FUSE_KERNEL_VERSION;
  reply.init.minor = FUSE_KERNEL_MINOR_VERSION;
  reply.init.max_write = 4096;
  reply.init.max_background = 16;
  return ::write(device, &reply, sizeof reply) == sizeof reply;
}

}  // namespace

int main(int argc, char** argv) {
  const int device = NumberAfter(argc, argv, "--fuse-fd");
  if (!AnswerInit(device) || ::write(NumberAfter(argc, argv, "--ready-fd"), "R", 1) != 1) return 1;
  // Taken from the queue, and never answered.
  alignas(fuse_in_header) std::array<char, 1 << 17> request;
  while (::read(device, request.data(), request.size()) >= 0) {
  }
}
