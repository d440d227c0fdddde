// The start of a tenant on the real kernel, as far as bailey-init: who owns what, what is left.
#include <gtest/gtest.h>

#include "tests/support/tenant_fixture.h"

namespace bailey::supervisor {
namespace {

TEST(Launch, RunsTheStartCommandAsProcessOneOfNothingElse) {
  TenantFixture fixture;
  const Status started = fixture.LaunchAndStart();
  ASSERT_TRUE(started) << started.error().Message();
  EXPECT_EQ(fixture.ReadConsole(), "waiting\n");
  const RunResult result = fixture.Run({"/probe", "cat", "/proc/self/status"});
  EXPECT_TRUE(result.executed) << result.executed.error().Message();
  EXPECT_EQ(result.status, 0);
  EXPECT_NE(result.output.find("Seccomp:\t2"), std::string::npos) << result.output;
}

}  // namespace
}  // namespace bailey::supervisor
