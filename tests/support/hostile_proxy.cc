// Stands in the place of bailey-netproxy and does what a proxy that was taken over might do. What
// it shall do is in its configuration, which the supervisor passes on unread: {"mode":"…"}. What
// came of it goes to stderr, the supervisor's log.
#include <fcntl.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <cstring>
#include <string>

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

void AskForListener(int control, int port) {
  if (!SendMessage(control, R"({"op":"listener","port":")" + std::to_string(port) + "\"}")) return;
  const auto reply = ReceiveMessage(control);
  if (!reply) return Say("no reply");
  const auto body = boost::json::parse(reply->text).as_object();
  std::string text = std::to_string(port) + " errno " +
                     std::to_string(boost::json::value_to<int>(body.at("errno")));
  for (const UniqueFd& fd : reply->fds) text += " at " + LocalPlace(fd);
  Say(text);
}

void KeepMany(int control, int count) {
  for (int i = 0; i < count; ++i) {
    const UniqueFd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const std::string name = "n" + std::to_string(i);
    if (!SendMessage(control, R"({"op":"keep","names":[")" + name + "\"]}", {fd.get()})) return;
  }
}

void Misbehave(const std::string& mode, int control) {
  const auto send = [control](const char* text) {
    [[maybe_unused]] const Status sent = SendMessage(control, text);
  };
  if (mode == "ports")
    for (const int port : {80, 81, 1}) AskForListener(control, port);
  if (mode == "garbage") send("{\"op\":");
  if (mode == "foreign address") send(R"({"op":"listener","port":"127.0.0.1:80"})");
  if (mode == "greed") send(R"({"op":"inside","count":100000})");
  if (mode == "hoard") KeepMany(control, 200);
  if (mode == "deaf")  // asks and never reads: the answers must not pile up, nor hold anybody up
    for (int i = 0; i < 100'000; ++i) send(R"({"op":"inside","count":60})");
  if (mode == "ready, then garbage") {
    send(R"({"op":"ready"})");
    send("garbage");
  }
  if (mode == "ports") send(R"({"op":"ready"})");
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
    [[maybe_unused]] const auto sent = SendMessage(control, R"({"op":"ready"})");
    eavesdropper.Run();
  }
  Misbehave(boost::json::value_to<std::string>(plan.at("mode")), control);
  ::pause();
  return 0;
}

}  // namespace
}  // namespace bailey::hostile

int main(int argc, char** argv) { return bailey::hostile::Run(argc, argv); }
