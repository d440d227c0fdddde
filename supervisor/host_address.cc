#include "supervisor/host_address.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <unistd.h>

#include "base/files.h"
#include "supervisor/netlink_batch.h"

namespace bailey::supervisor {
namespace {

std::string NotePath(const std::string& runtime_dir) { return runtime_dir + "/added-address"; }

// IFA_F_NODAD: the address is usable at once; an operator who pins it vouches that it is free.
Status Change(uint16_t type, uint16_t flags, unsigned index, const IpAddress& ip) {
  ifaddrmsg address{};
  address.ifa_family = static_cast<uint8_t>(ip.family());
  address.ifa_prefixlen = static_cast<uint8_t>(ip.bits());
  address.ifa_flags = ip.is_v6() ? IFA_F_NODAD : 0;
  address.ifa_index = index;
  NetlinkBatch batch;
  batch.Add(type == RTM_NEWADDR ? "add the address" : "remove the address", type, flags, address);
  batch.Attribute(IFA_LOCAL, ip);
  batch.Attribute(IFA_ADDRESS, ip);
  return batch.Send();
}

}  // namespace

Result<bool> HostHasAddress(const IpAddress& ip) {
  rtmsg route{};
  route.rtm_family = static_cast<uint8_t>(ip.family());
  route.rtm_dst_len = static_cast<uint8_t>(ip.bits());
  NetlinkBatch batch;
  batch.Add("look up the route", RTM_GETROUTE, 0, route);
  batch.Attribute(RTA_DST, ip);
  const auto answer = batch.Ask();
  if (!answer) {
    const int error = answer.error().Errno();
    // No way there at all, so it is not here either.
    if (error == ENETUNREACH || error == EHOSTUNREACH || error == EACCES || error == EINVAL)
      return false;
    return answer.error();
  }
  if (answer->size() < NLMSG_SPACE(sizeof(rtmsg))) return Errno("rtnetlink: short answer", EIO);
  return reinterpret_cast<const rtmsg*>(answer->data() + NLMSG_HDRLEN)->rtm_type == RTN_LOCAL;
}

Status AcquireAddress(const std::string& runtime_dir, const std::string& interface,
                      const IpAddress& ip) {
  const auto has = HostHasAddress(ip);
  if (!has) return has.error();
  if (*has) return {};
  if (interface.empty())
    return Errno("address " + ip.ToString() + " is not one of this host's", EADDRNOTAVAIL)
        .WithHint("name the interface that shall carry it: interface = \"eth0\" in bailey.toml");
  const unsigned index = ::if_nametoindex(interface.c_str());
  if (index == 0) return Errno("interface " + interface);
  BAILEY_TRY(ReplaceFile(NotePath(runtime_dir), interface + "\n" + ip.ToString() + "\n", 0600));
  Status added = Change(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, ip);
  if (added) return {};
  ::unlink(NotePath(runtime_dir).c_str());
  return added.error().Within(ip.ToString() + " on " + interface);
}

bool HasAddedAddress(const std::string& runtime_dir) {
  return ::access(NotePath(runtime_dir).c_str(), F_OK) == 0;
}

Status ReleaseAddress(const std::string& runtime_dir) {
  const auto note = ReadFile(NotePath(runtime_dir));
  if (!note) return note.error().Errno() == ENOENT ? Status() : note.error();
  const size_t first = note->find('\n'), second = note->find('\n', first + 1);
  const auto ip = second == std::string::npos
                      ? Result<IpAddress>(Invalid("note of an added address is damaged"))
                      : IpAddress::Parse(note->substr(first + 1, second - first - 1));
  if (!ip) return ip.error().Within(NotePath(runtime_dir));
  const unsigned index = ::if_nametoindex(note->substr(0, first).c_str());
  if (index != 0) {
    Status removed = Change(RTM_DELADDR, 0, index, *ip);
    // Gone already: somebody was faster, or we died between the note and the address.
    if (!removed && removed.error().Errno() != EADDRNOTAVAIL) return removed;
  }
  if (::unlink(NotePath(runtime_dir).c_str()) != 0) return Errno("unlink the note of the address");
  return {};
}

}  // namespace bailey::supervisor
