// One way after another to speak from an address that is not the tenant's, and to hear what is for
// others.
#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "base/unique_fd.h"

namespace bailey::hostile {

class Speaker {
 public:
  // `plan`: where to and as whom, see the test.
  Speaker(const boost::json::object& plan, int control);
  void Run();

 private:
  void Datagrams();
  void Questions();
  void TwoConnects(int family, const std::string& name);
  void Streams();
  void ReuseAnAcceptedOne();

  // Without a port, but for where the tests listen.
  const std::string own_, other_, udp_, tcp_, resolver_, resolver6_;
  const int control_;
};

class Eavesdropper {
 public:
  // While the process may still make raw sockets: as the proxy, one bound to the tenant's address.
  explicit Eavesdropper(const boost::json::object& plan);
  // Widens what it has, says where it listens ("hears at PORT, done at PORT"), and then all that it
  // hears, until a datagram comes to the second port.
  void Run();

 private:
  const std::string own_;
  UniqueFd raw_;
};

}  // namespace bailey::hostile
