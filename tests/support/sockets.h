// Small steps of the socket API, for tests. Failures are -1 or an errno, for EXPECTs; nothing waits
// longer than ten seconds, so that no test hangs.
#pragma once

#include <sys/socket.h>

#include <string>
#include <string_view>

#include "base/ip_address.h"
#include "base/unique_fd.h"

namespace bailey {

Endpoint At(const std::string& address, uint16_t port);
UniqueFd PatientSocket(int type, int family, int protocol = 0);
int ConnectTo(const UniqueFd& socket, const Endpoint& to);                      // 0 or errno
int SendTo(const UniqueFd& socket, const Endpoint& to, std::string_view text);  // 0 or errno
int BindAt(const UniqueFd& socket, const Endpoint& place);
void Listen(const UniqueFd& socket, const Endpoint& place);
UniqueFd Accept(const UniqueFd& listener, Endpoint* from = nullptr);
Endpoint LocalEnd(const UniqueFd& socket);
Endpoint RemoteEnd(const UniqueFd& socket);
void Send(const UniqueFd& socket, std::string_view text);
std::string Receive(const UniqueFd& socket, size_t bytes);  // fewer at the end of file
std::string ReceiveDatagram(const UniqueFd& socket, Endpoint* from);
int ReceiveErrno(const UniqueFd& socket);  // of a recv that must fail; 0 for the end of file

}  // namespace bailey
