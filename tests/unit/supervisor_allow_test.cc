#include <gtest/gtest.h>

#include "supervisor/allow.h"
#include "supervisor/kept_capabilities.h"

namespace bailey::supervisor {
namespace {

TEST(Allow, TakesKnownNamesAndKeepsDefaults) {
  EXPECT_EQ(*ParseAllow({}), Allow{});
  const auto allow = ParseAllow({{"set_hostname", false}, {"mlock", true}});
  ASSERT_TRUE(allow);
  EXPECT_EQ(*allow, (Allow{.set_hostname = false, .mlock = true}));
}

TEST(Allow, RefusesAnUnknownNameAndNamesTheKnownOnes) {
  const auto allow = ParseAllow({{"sysvipc", true}});
  ASSERT_FALSE(allow);
  EXPECT_EQ(allow.error().Message(), "allow.sysvipc is not known");
  EXPECT_EQ(allow.error().hint, "one of: set_hostname, raw_sockets, mount, mlock");
}

TEST(KeptCapabilities, AreTheOnesOfTheDesign) {
  CapabilityMask design = 0;
  for (const int c :
       {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_KILL, CAP_SETUID, CAP_SETGID,
        CAP_SETPCAP, CAP_SETFCAP, CAP_NET_BIND_SERVICE, CAP_IPC_OWNER, CAP_SYS_CHROOT, CAP_SYS_NICE,
        CAP_SYS_PTRACE, CAP_SYS_BOOT, CAP_LEASE, CAP_AUDIT_WRITE, CAP_NET_RAW})
    design |= CapabilityBit(c);
  EXPECT_EQ(KeptCapabilityMask({}), design);
  EXPECT_EQ(KeptCapabilityMask({.raw_sockets = true, .mlock = true}), design);
  EXPECT_EQ(KeptCapabilityMask({.mount = true}), design | CapabilityBit(CAP_SYS_ADMIN));
}

}  // namespace
}  // namespace bailey::supervisor
