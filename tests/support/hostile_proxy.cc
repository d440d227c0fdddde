// Stands in the place of bailey-netproxy and does what a proxy that was taken over might do. What
// it shall do is in its configuration, which the supervisor passes on unread: {"mode":"…"}. What
// came of it goes to stderr, the supervisor's log.
#include <fcntl.h>
#include <linux/filter.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/message.h"
#include "tests/support/hostile_sockets.h"
#include "tests/support/hostile_speaker.h"

namespace bailey::hostile {
namespace {

int NumberAfter(int argc, char** argv, const char* flag) {
  for (int i = 1; i + 1 < argc; ++i)
    if (std::strcmp(argv[i], flag) == 0) return std::atoi(argv[i + 1]);
  return -1;
}

// What the supervisor answers to it, and the descriptor.
UniqueFd AskForListener(int control, const std::string& port) {
  if (!SendMessage(control, R"({"op":"listener","port":")" + port + "\"}")) return {};
  auto reply = ReceiveMessage(control);
  if (!reply) return Say("no reply"), UniqueFd();
  const auto body = boost::json::parse(reply->text).as_object();
  std::string text =
      port + " errno " + std::to_string(boost::json::value_to<int>(body.at("errno")));
  for (const UniqueFd& fd : reply->fds) text += " at " + LocalPlace(fd);
  Say(text);
  return reply->fds.empty() ? UniqueFd() : std::move(reply->fds[0]);
}

// Whatever the supervisor does to it later, it goes on receiving.
void LockFilter(const UniqueFd& socket) {
  sock_filter pass = BPF_STMT(BPF_RET | BPF_K, 65535);
  const sock_fprog all{1, &pass};
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_ATTACH_FILTER, &all, sizeof all);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on);
}

void KeepMany(int control, int count) {
  for (int i = 0; i < count; ++i) {
    const UniqueFd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const std::string name = "n" + std::to_string(i);
    if (!SendMessage(control, R"({"op":"keep","names":[")" + name + "\"]}", {fd.get()})) return;
  }
}

void Send(int control, const char* text, const std::vector<int>& fds = {}) {
  [[maybe_unused]] const Status sent = SendMessage(control, text, fds);
}

// Before it was ever ready.
void Misbehave(const std::string& mode, int control) {
  if (mode == "garbage") Send(control, "{\"op\":");
  if (mode == "foreign address") Send(control, R"({"op":"listener","port":"127.0.0.1:80"})");
  if (mode == "greed") Send(control, R"({"op":"inside","count":100000})");
  if (mode == "hoard") KeepMany(control, 200);
  if (mode == "deaf")  // asks and never reads: the answers must not pile up, nor hold anybody up
    for (int i = 0; i < 100'000; ++i) Send(control, R"({"op":"inside","count":60})");
}

// Once it serves. Returns never.
[[noreturn]] void Serve(const std::string& mode, int control) {
  std::vector<UniqueFd> held;
  if (mode == "ports")
    for (const char* port : {"80", "81", "1"}) AskForListener(control, port);
  if (mode == "holds what it gave up") held.push_back(AskForListener(control, "81"));
  if (mode == "locks its socket") {
    held.push_back(AskForListener(control, "81/udp"));
    LockFilter(held.back());
  }
  Send(control, R"({"op":"ready"})");
  if (mode == "ready, then garbage") Send(control, "garbage");
  if (mode == "ready, then keep") {
    const UniqueFd other(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    Send(control, R"({"op":"keep","names":["link.connect4"]})", {other.get()});
  }
  while (mode == "talks") Say(std::string(1000, 'x'));
  if (mode == "ready, then silence") ::close(control);
  if (mode == "holds what it gave up") Send(control, R"({"op":"unlisten","port":"81"})");
  for (;;) ::pause();
}

// As the proxy itself when it serves: no ids of the host's, and with them no capability.
bool DropPrivileges(int uid) {
  const auto id = static_cast<uid_t>(uid);
  return ::setresgid(id, id, id) == 0 && ::setresuid(id, id, id) == 0;
}

int Run(int argc, char** argv) {
  const int control = NumberAfter(argc, argv, "--control-fd");
  const auto config = ReadAll(NumberAfter(argc, argv, "--config-fd"));
  if (!config) return 1;
  const boost::json::object plan = boost::json::parse(*config).as_object();
  if (plan.at("mode") == "speak") {
    Eavesdropper eavesdropper(plan);
    if (!DropPrivileges(NumberAfter(argc, argv, "--uid"))) return 1;
    Speaker(plan, control).Run();
    Send(control, R"({"op":"ready"})");
    eavesdropper.Run();
  }
  const auto mode = boost::json::value_to<std::string>(plan.at("mode"));
  Misbehave(mode, control);
  Serve(mode, control);
}

}  // namespace
}  // namespace bailey::hostile

int main(int argc, char** argv) { return bailey::hostile::Run(argc, argv); }
