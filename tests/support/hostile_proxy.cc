// Stands in the place of bailey-netproxy and does what a proxy that was taken over might do. What
// it shall do is in its configuration, which the supervisor passes on unread: {"mode":"…"}. What
// came of it goes to stderr, the supervisor's log.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/ip_address.h"
#include "base/message.h"

namespace bailey {
namespace {

int NumberAfter(int argc, char** argv, const char* flag) {
  for (int i = 1; i + 1 < argc; ++i)
    if (std::strcmp(argv[i], flag) == 0) return std::atoi(argv[i + 1]);
  return -1;
}

void Say(const std::string& text) { std::fprintf(stderr, "hostile: %s\n", text.c_str()); }

void AskForListener(int control, int port) {
  if (!SendMessage(control, R"({"op":"listener","port":)" + std::to_string(port) + "}")) return;
  const auto reply = ReceiveMessage(control);
  if (!reply) return Say("no reply");
  const auto body = boost::json::parse(reply->text).as_object();
  std::string text = std::to_string(port) + " errno " +
                     std::to_string(boost::json::value_to<int>(body.at("errno")));
  for (const UniqueFd& fd : reply->fds) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0)
      text += " at " + Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&address)).ToString();
  }
  Say(text);
}

void KeepMany(int control, int count) {
  for (int i = 0; i < count; ++i) {
    const UniqueFd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const std::string name = "n" + std::to_string(i);
    if (!SendMessage(control, R"({"op":"keep","names":[")" + name + "\"]}", {fd.get()})) return;
  }
}

// One way after another to speak from an address that is not the tenant's.
class Speaker {
 public:
  Speaker(const boost::json::object& plan, int control)
      : own_(At(plan, "own") + ":0"),
        other_(At(plan, "other") + ":0"),
        udp_(At(plan, "udp")),
        tcp_(At(plan, "tcp")),
        resolver_(At(plan, "resolver")),
        control_(control) {}

  void Run() {
    const UniqueFd bound = Socket(SOCK_DGRAM);
    SayErrno("bind udp", Bind(bound, other_));
    SendTo(bound, udp_, "bound to another");
    SendTo(Socket(SOCK_DGRAM), udp_, "as the host");
    SendTo(Socket(SOCK_DGRAM), udp_, "by packet info", other_);
    const UniqueFd tenants = Socket(SOCK_DGRAM);
    Bind(tenants, own_);
    SendTo(tenants, udp_, "bound, and packet info", other_);
    SendTo(tenants, udp_, "as the tenant");
    const UniqueFd asks = Socket(SOCK_DGRAM);
    Connect(asks, resolver_);
    SendTo(asks, resolver_, "a question");
    SendTo(asks, resolver_, "a question as another", other_);
    SendTo(Socket(SOCK_DGRAM), resolver_, "a question, unbound", other_);
    const UniqueFd stream = Socket(SOCK_STREAM);
    SayErrno("bind tcp", Bind(stream, other_));
    Connect(stream, tcp_);
    Connect(Socket(SOCK_STREAM), tcp_);
    BindMapped();
    ReuseAnAcceptedOne();
    ::usleep(300'000);
    Say("done");
  }

 private:
  static std::string At(const boost::json::object& plan, const char* key) {
    return boost::json::value_to<std::string>(plan.at(key));
  }
  static sockaddr_in Address(const std::string& place) {
    const size_t colon = place.rfind(':');
    sockaddr_storage address{};
    Endpoint{*IpAddress::Parse(place.substr(0, colon)),
             static_cast<uint16_t>(std::atoi(place.c_str() + colon + 1))}
        .ToSockaddr(&address);
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof v4);
    return v4;
  }
  static UniqueFd Socket(int type) {
    return UniqueFd(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  }
  static int Bind(const UniqueFd& socket, const std::string& place) {
    const sockaddr_in address = Address(place);
    return ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0
               ? 0
               : errno;
  }
  static void Connect(const UniqueFd& socket, const std::string& place) {
    const sockaddr_in address = Address(place);
    (void)::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    if (SocketType(socket) == SOCK_STREAM) ::usleep(100'000);
  }
  static int SocketType(const UniqueFd& socket) {
    int type = 0;
    socklen_t size = sizeof type;
    ::getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &size);
    return type;
  }
  // `source`: by IP_PKTINFO.
  static void SendTo(const UniqueFd& socket, const std::string& to, const std::string& text,
                     const std::string& source = {}) {
    sockaddr_in address = Address(to);
    iovec data{const_cast<char*>(text.data()), text.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(in_pktinfo))] = {};
    msghdr message{};
    message.msg_name = &address;
    message.msg_namelen = sizeof address;
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    if (!source.empty()) {
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      cmsghdr* const head = CMSG_FIRSTHDR(&message);
      head->cmsg_level = IPPROTO_IP;
      head->cmsg_type = IP_PKTINFO;
      head->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
      in_pktinfo info{};
      info.ipi_spec_dst = Address(source).sin_addr;
      std::memcpy(CMSG_DATA(head), &info, sizeof info);
    }
    ::sendmsg(socket.get(), &message, MSG_NOSIGNAL);
  }
  static void SayErrno(const char* what, int error) {
    Say(std::string(what) + " errno " + std::to_string(error));
  }

  void BindMapped() {
    const UniqueFd socket(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const sockaddr_in v4 = Address(other_);
    sockaddr_in6 mapped{};
    mapped.sin6_family = AF_INET6;
    mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
    std::memcpy(&mapped.sin6_addr.s6_addr[12], &v4.sin_addr, sizeof v4.sin_addr);
    const int bound =
        ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&mapped), sizeof mapped);
    SayErrno("bind mapped", bound == 0 ? 0 : errno);
  }

  // A socket that the supervisor's listener has accepted, taken apart and bound anew.
  void ReuseAnAcceptedOne() {
    if (!SendMessage(control_, R"({"op":"listener","port":81})")) return;
    const auto reply = ReceiveMessage(control_);
    if (!reply || reply->fds.empty()) return Say("no listener");
    const UniqueFd client = Socket(SOCK_STREAM);
    Bind(client, own_);
    Connect(client, own_.substr(0, own_.rfind(':')) + ":81");
    const UniqueFd accepted(
        ::accept4(reply->fds[0].get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    sockaddr nowhere{};
    nowhere.sa_family = AF_UNSPEC;
    (void)::connect(accepted.get(), &nowhere, sizeof nowhere);
    SayErrno("bind an accepted one", Bind(accepted, other_));
    Connect(accepted, tcp_);
  }

  const std::string own_, other_, udp_, tcp_, resolver_;
  const int control_;
};

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

}  // namespace
}  // namespace bailey

int main(int argc, char** argv) {
  const int control = bailey::NumberAfter(argc, argv, "--control-fd");
  const auto config = bailey::ReadAll(bailey::NumberAfter(argc, argv, "--config-fd"));
  if (!config) return 1;
  const auto mode = boost::json::parse(*config).as_object().at("mode");
  if (mode == "speak") {
    // As the proxy itself when it serves: no ids of the host's, and with them no capability.
    const auto uid = static_cast<uid_t>(bailey::NumberAfter(argc, argv, "--uid"));
    if (::setresgid(uid, uid, uid) != 0 || ::setresuid(uid, uid, uid) != 0) return 1;
    bailey::Speaker(boost::json::parse(*config).as_object(), control).Run();
    [[maybe_unused]] const auto sent = bailey::SendMessage(control, R"({"op":"ready"})");
  }
  bailey::Misbehave(boost::json::value_to<std::string>(mode), control);
  ::pause();
}
