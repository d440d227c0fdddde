#include "tenants/cli/exec_session.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>
#include <cerrno>
#include <cstring>
#include <deque>
#include <optional>
#include <vector>

#include "tenants/cli/terminal.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

constexpr auto kForwarded =
    std::to_array<int>({SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2});

Failure Failed(std::string message) {
  return Failure::From(ApiError{ApiCode::kFailed, std::move(message), {}, "exec", {}});
}

// The signals that the session handles, blocked and readable, until destruction.
class SignalQueue {
 public:
  SignalQueue() {
    sigset_t taken;
    ::sigemptyset(&taken);
    for (const int signal : kForwarded) ::sigaddset(&taken, signal);
    ::sigaddset(&taken, SIGWINCH);
    ::sigprocmask(SIG_BLOCK, &taken, &before_);
    fd_.Reset(::signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  SignalQueue(const SignalQueue&) = delete;
  SignalQueue& operator=(const SignalQueue&) = delete;
  ~SignalQueue() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }

  int fd() const { return fd_.get(); }
  std::optional<int> Next() const {
    signalfd_siginfo info{};
    if (::read(fd_.get(), &info, sizeof info) != sizeof info) return std::nullopt;
    return static_cast<int>(info.ssi_signo);
  }

 private:
  sigset_t before_{};
  UniqueFd fd_;
};

class Session {
 public:
  Session(UniqueFd connection, const ExecIo& io) : connection_(std::move(connection)), io_(io) {}
  Outcome<int> Run();

 private:
  struct Source {
    UniqueFd fd;
    int stream;
  };

  Outcome<void> Round();
  Outcome<void> ReadConnection();
  Outcome<void> TakeLine(std::string_view line);
  Outcome<void> TakeEnds(const json::object& line);
  void ReadInput();
  void WriteInput();
  // False when nothing more will ever come.
  bool ReadSource(const Source& source);
  void Drain();
  void TakeSignals();
  void PassWindowSize();

  UniqueFd connection_;
  const ExecIo& io_;
  SignalQueue signals_;
  std::deque<UniqueFd> received_;
  std::string line_;
  bool started_ = false, tty_ = false, input_ended_ = false;
  std::optional<int> exit_;
  UniqueFd sink_;  // the process's stdin
  std::string unwritten_;
  std::vector<Source> sources_;
  std::optional<RawMode> raw_;
};

Outcome<int> Session::Run() {
  while (!exit_) {
    const auto done = Round();
    if (!done) return done.error();
  }
  Drain();
  return *exit_;
}

Outcome<void> Session::Round() {
  std::vector<pollfd> watched = {{signals_.fd(), POLLIN, 0}, {connection_.get(), POLLIN, 0}};
  const bool wants_input = started_ && sink_ && !input_ended_ && unwritten_.empty();
  watched.push_back({wants_input ? io_.input : -1, POLLIN, 0});
  watched.push_back({unwritten_.empty() ? -1 : sink_.get(), POLLOUT, 0});
  for (const Source& source : sources_) watched.push_back({source.fd.get(), POLLIN, 0});
  if (::poll(watched.data(), watched.size(), -1) < 0) {
    if (errno == EINTR) return {};
    return Failed(Errno("poll").Message());
  }
  if (watched[0].revents != 0) TakeSignals();
  if (watched[2].revents != 0) ReadInput();
  if (watched[3].revents != 0) WriteInput();
  for (size_t i = sources_.size(); i-- > 0;)
    if (watched[4 + i].revents != 0 && !ReadSource(sources_[i]))
      sources_.erase(sources_.begin() + static_cast<ptrdiff_t>(i));
  if (watched[1].revents != 0) return ReadConnection();
  return {};
}

Outcome<void> Session::ReadConnection() {
  std::array<char, 4096> text;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * 8)> control{};
  iovec data{text.data(), text.size()};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const ssize_t got = ::recvmsg(connection_.get(), &header, MSG_CMSG_CLOEXEC);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return {};
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); got >= 0 && c; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      received_.emplace_back(fd);
    }
  }
  if (got <= 0) return Failed("the session ended without a status: has the tenant been stopped?");
  line_.append(text.data(), static_cast<size_t>(got));
  for (size_t end = 0; !exit_ && (end = line_.find('\n')) != std::string::npos;) {
    const std::string line = line_.substr(0, end);
    line_.erase(0, end + 1);
    const auto taken = TakeLine(line);
    if (!taken) return taken.error();
  }
  return {};
}

Outcome<void> Session::TakeLine(std::string_view text) {
  json::error_code failed;
  const json::value value = json::parse(json::string_view(text.data(), text.size()), failed);
  if (failed || !value.is_object()) return Failed("the session speaks nonsense");
  const json::object& line = value.get_object();
  if (line.contains("pid")) return TakeEnds(line);
  const json::value* exit = line.if_contains("exit");
  const json::value* error = line.if_contains("error");
  if (error != nullptr && error->is_string() && io_.output)
    io_.output(2, "bailey: " + std::string(error->get_string()) + "\n");
  if (exit == nullptr && error == nullptr) return {};
  failed = {};
  const int status = exit != nullptr ? exit->to_number<int>(failed) : 125;
  exit_ = failed ? 125 : status;
  return {};
}

Outcome<void> Session::TakeEnds(const json::object& line) {
  const json::value* tty = line.if_contains("tty");
  tty_ = tty != nullptr && tty->is_bool() && tty->get_bool();
  if (started_ || received_.size() != (tty_ ? 1U : 3U))
    return Failed("the session came without its descriptors");
  started_ = true;
  sink_ = std::move(received_.front());
  if (tty_) {
    sources_.push_back({UniqueFd(::fcntl(sink_.get(), F_DUPFD_CLOEXEC, 3)), 1});
    if (io_.input >= 0 && IsTerminal(io_.input)) raw_.emplace(io_.input);
    PassWindowSize();
  } else {
    sources_.push_back({std::move(received_[1]), 1});
    sources_.push_back({std::move(received_[2]), 2});
  }
  received_.clear();
  ::fcntl(sink_.get(), F_SETFL, O_NONBLOCK | (tty_ ? O_RDWR : O_WRONLY));
  if (io_.input < 0 && !tty_) sink_.Reset();
  if (io_.input < 0) input_ended_ = true;
  return {};
}

void Session::ReadInput() {
  std::array<char, 16384> bytes;
  const ssize_t got = ::read(io_.input, bytes.data(), bytes.size());
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (got > 0) {
    unwritten_.assign(bytes.data(), static_cast<size_t>(got));
    return WriteInput();
  }
  input_ended_ = true;
  if (!tty_) sink_.Reset();
}

void Session::WriteInput() {
  const ssize_t written = ::write(sink_.get(), unwritten_.data(), unwritten_.size());
  if (written >= 0) {
    unwritten_.erase(0, static_cast<size_t>(written));
  } else if (errno != EINTR && errno != EAGAIN) {
    // Nobody reads any more; the process may go on without.
    unwritten_.clear();
    input_ended_ = true;
    sink_.Reset();
  }
}

bool Session::ReadSource(const Source& source) {
  std::array<char, 65536> bytes;
  const ssize_t got = ::read(source.fd.get(), bytes.data(), bytes.size());
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  if (got <= 0) return false;  // EIO: nobody has the terminal open any more
  if (io_.output) io_.output(source.stream, {bytes.data(), static_cast<size_t>(got)});
  return true;
}

// What the process wrote before it ended. Not until end of file: its children may live on.
void Session::Drain() {
  for (const Source& source : sources_) {
    ::fcntl(source.fd.get(), F_SETFL, O_NONBLOCK);
    pollfd readable{source.fd.get(), POLLIN, 0};
    while (::poll(&readable, 1, 0) == 1 && (readable.revents & POLLIN) != 0 && ReadSource(source)) {
    }
  }
}

void Session::TakeSignals() {
  while (const auto signal = signals_.Next()) {
    if (*signal == SIGWINCH) {
      PassWindowSize();
      continue;
    }
    const std::string line = "{\"signal\":" + std::to_string(*signal) + "}\n";
    ::send(connection_.get(), line.data(), line.size(), MSG_NOSIGNAL);
  }
}

void Session::PassWindowSize() {
  if (!tty_ || io_.input < 0) return;
  const auto size = WindowSize(io_.input);
  if (size) ::ioctl(sink_.get(), TIOCSWINSZ, &*size);
}

}  // namespace

Outcome<int> RunExecSession(UniqueFd connection, const ExecIo& io) {
  // A process that reads no more must not end us.
  const auto before = ::signal(SIGPIPE, SIG_IGN);
  auto status = Session(std::move(connection), io).Run();
  ::signal(SIGPIPE, before);
  return status;
}

}  // namespace bailey::tenants
