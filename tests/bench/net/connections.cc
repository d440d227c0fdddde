// TCP connections for tests/bench/net_scale, many of them.
//   bench_connections serve PORT                  echoes; closes when its client has
//   bench_connections hold ADDRESS PORT COUNT     opens COUNT, a byte there and back on each; says
//                                                 "held", and keeps them until its input ends
//   bench_connections campaign ADDRESS PORT COUNT COUNT of them, 64 at a time, one after another:
//                                                 some end by a reset, some by half a close; says
//                                                 how many had their answer
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

constexpr int kCampaignWindow = 64;

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::exit(1);
}

sockaddr_in Place(const char* address, const char* port) {
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_port = htons(static_cast<uint16_t>(std::atoi(port)));
  if (::inet_pton(AF_INET, address, &place.sin_addr) != 1) Die("address");
  return place;
}

int Socket() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) Die("socket");
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  return fd;
}

class Poll {
 public:
  void Add(int fd, uint32_t events) {
    epoll_event event{events, {.fd = fd}};
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) Die("epoll_ctl");
  }
  template <class Handle>  // Handle(fd)
  void Wait(Handle handle) {
    std::array<epoll_event, 256> events;
    const int count = ::epoll_wait(epoll_, events.data(), events.size(), -1);
    for (int i = 0; i < count; ++i) handle(events[static_cast<size_t>(i)].data.fd);
  }

 private:
  const int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
};

void EchoOrClose(int fd) {
  std::array<char, 4096> bytes;
  const ssize_t got = ::recv(fd, bytes.data(), bytes.size(), 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0)
    ::close(fd);
  else
    ::send(fd, bytes.data(), static_cast<size_t>(got), MSG_NOSIGNAL);
}

[[noreturn]] void Serve(const char* port) {
  const int listener = Socket();
  const sockaddr_in place = Place("0.0.0.0", port);
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&place), sizeof place) != 0) Die("bind");
  if (::listen(listener, 4096) != 0) Die("listen");
  Poll poll;
  poll.Add(listener, EPOLLIN);
  for (;;)
    poll.Wait([&](int fd) {
      if (fd != listener) return EchoOrClose(fd);
      const int accepted = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (accepted >= 0) poll.Add(accepted, EPOLLIN);
    });
}

// Opens connections, `window` at a time, and counts their answers.
class Client {
 public:
  Client(const sockaddr_in& to, int count, int window, bool hold)
      : to_(to), count_(count), window_(window), hold_(hold) {}

  void Run() {
    while (finished_ < count_) {
      while (opened_ < count_ && opened_ - finished_ < window_) Open();
      poll_.Wait([this](int fd) { OnEvent(fd); });
    }
  }
  int answered() const { return answered_; }

 private:
  enum class Step : uint8_t { kConnecting, kAsked, kHalfClosed };

  void Open() {
    const int fd = Socket();
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&to_), sizeof to_) != 0 &&
        errno != EINPROGRESS)
      Die("connect");
    steps_[static_cast<size_t>(fd)] = Step::kConnecting;
    poll_.Add(fd, EPOLLOUT | EPOLLIN | EPOLLET);
    ++opened_;
  }

  void OnEvent(int fd) {
    Step& step = steps_[static_cast<size_t>(fd)];
    if (step == Step::kConnecting) {
      if (::send(fd, "?", 1, MSG_NOSIGNAL) == 1)
        step = Step::kAsked;
      else if (errno != EAGAIN && errno != ENOTCONN)
        Finish(fd);
      return;
    }
    char byte = 0;
    const ssize_t got = ::recv(fd, &byte, 1, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (step == Step::kAsked && got == 1) ++answered_;
    if (hold_ && got == 1) return static_cast<void>(++finished_);
    if (step == Step::kAsked && got == 1 && answered_ % 4 == 0) {
      ::shutdown(fd, SHUT_WR);
      step = Step::kHalfClosed;
      return;
    }
    Finish(fd);
  }

  void Finish(int fd) {
    const linger at_once{1, 0};
    if (finished_++ % 4 == 1) ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    ::close(fd);
  }

  const sockaddr_in to_;
  const int count_, window_;
  const bool hold_;
  Poll poll_;
  std::array<Step, 1 << 16> steps_{};
  int opened_ = 0, finished_ = 0, answered_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  const std::string_view how = argc > 1 ? argv[1] : "";
  if (how == "serve" && argc == 3) Serve(argv[2]);
  if (argc != 5 || (how != "hold" && how != "campaign")) {
    std::fputs("see the top of tests/bench/net/connections.cc\n", stderr);
    return 2;
  }
  const bool hold = how == "hold";
  const int count = std::atoi(argv[4]);
  Client client(Place(argv[2], argv[3]), count, hold ? 512 : kCampaignWindow, hold);
  client.Run();
  if (!hold) {
    std::printf("%d\n", client.answered());
    return 0;
  }
  std::printf("held %d\n", client.answered());
  std::fflush(stdout);
  for (char byte = 0; ::read(STDIN_FILENO, &byte, 1) > 0;) {
  }
}
