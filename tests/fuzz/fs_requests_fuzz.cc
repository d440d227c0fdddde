// The request stream: what a kernel that is played from the input (fuzz_kernel.h) sends, through
// the transport, libfuse and the tree, over layers that are made from the same input.
#include <fuse3/fuse_log.h>
#include <sys/socket.h>

#include "fs/fuse_ops.h"
#include "fs/transport.h"
#include "tests/fuzz/fuzz_kernel.h"
#include "tests/fuzz/layer_world.h"

using bailey::FuzzInput;
using bailey::FuzzKernel;
using bailey::LayerWorld;
using bailey::Require;
using bailey::UniqueFd;
using namespace bailey::fs;  // NOLINT(google-build-using-namespace): the server is meant

namespace {

void MakeRoomFor(int socket) {
  const int room = 8 << 20;
  ::setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  // A connection that ends is libfuse's error, and every input's end.
  fuse_set_log_func([](fuse_log_level, const char*, va_list) {});
  bailey::EnterLayerWorld();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  const LayerWorld world(input);
  OpenedLayers layers = world.Open();
  auto work = WorkArea::Open(std::move(layers.work));
  Require(work.has_value(), "the work area is opened");
  int ends[2];
  Require(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
  UniqueFd kernel_end(ends[0]);
  UniqueFd server_end(ends[1]);
  MakeRoomFor(kernel_end.get());
  MakeRoomFor(server_end.get());
  Tree tree({LayerSet(std::move(layers.upper), std::move(layers.lowers)), std::move(*work),
             *Projection::Make({"/a/b"}), -1, 16, nullptr});
  if (!tree.Open()) return 0;
  FuseServer server{tree, true};
  auto transport =
      Transport::Make(FuseOperations(), {std::move(server_end), &server, 1, [] {}, nullptr});
  Require(transport.has_value() && (*transport)->StartReaders().has_value(), "a server");
  (*transport)->Serve();
  {
    FuzzKernel kernel(kernel_end.get(), input);
    Require(kernel.Begin(), "INIT is answered");
    for (int steps = 0; steps < 60 && !input.empty(); ++steps) kernel.Step();
  }
  kernel_end.Reset();
  (*transport)->Join();
  return 0;
}
