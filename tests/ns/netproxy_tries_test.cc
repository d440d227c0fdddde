// The kernel's tries, filled for one policy after another, against the policies themselves.
#include <bpf/bpf.h>
#include <gtest/gtest.h>

#include "base/unique_fd.h"
#include "netproxy/egress_tries.h"
#include "netproxy/kernel_policy.h"

namespace bailey::netproxy {
namespace {

UniqueFd MakeTrie(uint32_t key_size) {
  bpf_map_create_opts options{};
  options.sz = sizeof options;
  options.map_flags = BPF_F_NO_PREALLOC;
  UniqueFd map(bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "egress", key_size,
                              sizeof(bailey_egress_value), 65536, &options));
  EXPECT_TRUE(map) << "bpf_map_create: errno " << errno;
  return map;
}

size_t Count(int map, size_t key_size) {
  std::string key(key_size, '\0'), next(key_size, '\0');
  size_t count = 0;
  for (void* from = nullptr; bpf_map_get_next_key(map, from, next.data()) == 0; ++count) {
    key = next;
    from = key.data();
  }
  return count;
}

class EgressTriesTest : public testing::Test {
 protected:
  bool Denies(const char* address, uint16_t port) const {
    const Cidr whole = *Cidr::Parse(address);
    bailey_egress_value value{};
    const bailey_egress_key4 key4 = Key4(whole);
    const bailey_egress_key6 key6 = Key6(whole);
    const int found = whole.address.is_v6() ? bpf_map_lookup_elem(egress6_.get(), &key6, &value)
                                            : bpf_map_lookup_elem(egress4_.get(), &key4, &value);
    EXPECT_EQ(found, 0) << address;
    for (const bailey_egress_ports& segment : value.ports)
      if (port <= segment.last_port) return segment.deny != 0;
    ADD_FAILURE() << "no segment for port " << port;
    return true;
  }
  void Fill(const ProxyConfig& config) {
    const EgressPolicy policy(config, {*Cidr::Parse("203.0.113.1")});
    const std::vector<KernelPrefix> prefixes = KernelPolicy(policy);
    ASSERT_TRUE(FillEgressTries(egress4_.get(), egress6_.get(), prefixes));
    EXPECT_EQ(Count(egress4_.get(), sizeof(bailey_egress_key4)) +
                  Count(egress6_.get(), sizeof(bailey_egress_key6)),
              prefixes.size());
    for (const char* address :
         {"10.0.0.5", "10.0.0.6", "127.0.0.1", "127.77.0.3", "169.254.169.254", "8.8.8.8",
          "203.0.113.1", "203.0.113.7", "203.0.113.9", "224.0.0.1", "::1", "::ffff:10.0.0.5",
          "::ffff:8.8.8.8", "2002:a00:5::1", "64:ff9b::a00:5", "fe80::1", "2001:db8::1"})
      for (const uint16_t port : {0, 22, 25, 80, 3306, 65535}) {
        const Endpoint to{*IpAddress::Parse(address), port};
        const bool judged =
            !policy.StaysInside(to.address) && policy.Judge(to).verdict == Verdict::kDeny;
        EXPECT_EQ(Denies(address, port), judged) << to.ToString();
      }
  }

  const UniqueFd egress4_ = MakeTrie(sizeof(bailey_egress_key4));
  const UniqueFd egress6_ = MakeTrie(sizeof(bailey_egress_key6));
};

TEST_F(EgressTriesTest, HoldExactlyThePolicyThatHolds) {
  ProxyConfig config;
  config.ip = *IpAddress::Parse("203.0.113.7");
  Fill(config);
  config.egress.allow = {*EgressRule::Parse("10.0.0.5:3306"), *EgressRule::Parse("*:25")};
  config.egress.deny = {*EgressRule::Parse("8.8.8.8:80")};
  Fill(config);
  config.egress.allow_by_default = false;
  config.peers = {*Cidr::Parse("127.77.0.3")};
  config.ip = *IpAddress::Parse("127.77.0.2");
  Fill(config);
  Fill({.ip = *IpAddress::Parse("2001:db8::7")});
}

}  // namespace
}  // namespace bailey::netproxy
