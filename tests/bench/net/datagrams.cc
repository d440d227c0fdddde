// Datagrams for tests/bench/net_compare, as many as the machine can.
//   bench_datagrams serve PORT                     echoes what begins with 'e', counts the rest,
//   and
//                                                  answers '?' with the count, which begins anew
//   bench_datagrams flood ADDRESS PORT SECONDS     sends without a pause; prints datagrams/s that
//                                                  have arrived
//   bench_datagrams echo ADDRESS PORT SECONDS      keeps 64 on the way; prints answers/s
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kBatch = 32, kBytes = 64, kWindow = 64;

// Room for a batch of datagrams and where they came from.
struct Batch {
  std::array<std::array<char, kBytes>, kBatch> bytes{};
  std::array<sockaddr_in, kBatch> from{};
  std::array<iovec, kBatch> parts{};
  std::array<mmsghdr, kBatch> messages{};

  explicit Batch(bool with_addresses) {
    for (size_t i = 0; i < kBatch; ++i) {
      parts[i] = {bytes[i].data(), kBytes};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
      if (with_addresses) messages[i].msg_hdr.msg_name = &from[i];
      if (with_addresses) messages[i].msg_hdr.msg_namelen = sizeof from[i];
    }
  }
  void FillWith(char kind) {
    for (auto& each : bytes) each.fill(kind);
  }
};

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::exit(1);
}

int Socket(const char* address, const char* port, bool bound) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_port = htons(static_cast<uint16_t>(std::atoi(port)));
  ::inet_pton(AF_INET, address, &place.sin_addr);
  const auto* const to = reinterpret_cast<const sockaddr*>(&place);
  if (fd < 0 || (bound ? ::bind(fd, to, sizeof place) : ::connect(fd, to, sizeof place)) != 0)
    Die("socket");
  return fd;
}

[[noreturn]] void Serve(int fd) {
  Batch batch(true);
  uint64_t counted = 0;
  for (;;) {
    for (auto& message : batch.messages) message.msg_hdr.msg_namelen = sizeof(sockaddr_in);
    const int got = ::recvmmsg(fd, batch.messages.data(), kBatch, MSG_WAITFORONE, nullptr);
    if (got < 0 && errno != EINTR) Die("recvmmsg");
    unsigned answers = 0;
    for (size_t i = 0; i < static_cast<size_t>(got < 0 ? 0 : got); ++i) {
      const char kind = batch.bytes[i][0];
      if (kind == 'f') ++counted;
      if (kind == 'f') continue;
      if (kind == '?') std::memcpy(batch.bytes[i].data() + 1, &counted, sizeof counted);
      if (kind == '?') counted = 0;
      batch.bytes[answers] = batch.bytes[i];
      batch.from[answers++] = batch.from[i];
    }
    if (answers > 0) ::sendmmsg(fd, batch.messages.data(), answers, 0);
  }
}

bool Answers(int fd, int milliseconds) {
  pollfd wait{fd, POLLIN, 0};
  return ::poll(&wait, 1, milliseconds) == 1;
}

// What has arrived since it was last asked; asks until it hears.
uint64_t AskForCount(int fd) {
  std::array<char, kBytes> question{'?'}, answer{};
  for (int i = 0; i < 50; ++i) {
    ::send(fd, question.data(), question.size(), 0);
    if (!Answers(fd, 100) || ::recv(fd, answer.data(), answer.size(), 0) != kBytes) continue;
    uint64_t count = 0;
    std::memcpy(&count, answer.data() + 1, sizeof count);
    return count;
  }
  std::fputs("no answer\n", stderr);
  std::exit(1);
}

double Flood(int fd, double seconds) {
  AskForCount(fd);
  Batch batch(false);
  batch.FillWith('f');
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < end) ::sendmmsg(fd, batch.messages.data(), kBatch, 0);
  ::usleep(200'000);  // for what waits in queues
  return static_cast<double>(AskForCount(fd)) / seconds;
}

double Echo(int fd, double seconds) {
  AskForCount(fd);
  Batch batch(false);
  uint64_t answers = 0;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < end) {
    batch.FillWith('e');
    size_t missing = kWindow;
    for (size_t sent = 0; sent < kWindow; sent += kBatch)
      ::sendmmsg(fd, batch.messages.data(), kBatch, 0);
    // What is lost is not waited for.
    while (missing > 0 && Answers(fd, 20)) {
      const int got = ::recvmmsg(fd, batch.messages.data(), kBatch, MSG_DONTWAIT, nullptr);
      if (got <= 0) break;
      answers += static_cast<uint64_t>(got);
      missing -= std::min<size_t>(missing, static_cast<size_t>(got));
    }
  }
  return static_cast<double>(answers) / seconds;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view how = argc > 1 ? argv[1] : "";
  if (how == "serve" && argc == 3) Serve(Socket("0.0.0.0", argv[2], true));
  if (argc != 5 || (how != "flood" && how != "echo")) {
    std::fputs("see the top of tests/bench/net/datagrams.cc\n", stderr);
    return 2;
  }
  const int fd = Socket(argv[2], argv[3], false);
  const double seconds = std::atof(argv[4]);
  std::printf("%.0f\n", how == "flood" ? Flood(fd, seconds) : Echo(fd, seconds));
}
