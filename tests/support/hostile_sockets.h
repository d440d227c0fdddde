// Small steps of the socket API for what a proxy that was taken over might do. Places are
// "ADDRESS:PORT"; nothing blocks.
#pragma once

#include <string>

#include "base/unique_fd.h"

namespace bailey::hostile {

// A line on stderr, the supervisor's log.
void Say(const std::string& text);
void SayErrno(const std::string& what, int error);

UniqueFd MakeSocket(int type, int family = 2 /* AF_INET */, int protocol = 0);
// 0 or an errno. A socket of AF_INET6 takes an IPv4 place as IPv4-mapped. A stream has a moment to
// connect.
int Bind(const UniqueFd& socket, const std::string& place);
int Connect(const UniqueFd& socket, const std::string& place);
// To where it is connected.
void Send(const UniqueFd& socket, const std::string& text);
// `source`: by IP_PKTINFO.
void SendTo(const UniqueFd& socket, const std::string& to, const std::string& text,
            const std::string& source = {});
std::string LocalPlace(const UniqueFd& socket);

}  // namespace bailey::hostile
