#include <gmock/gmock.h>

#include <vector>

#include "supervisor/processor_share.h"

namespace bailey::supervisor {
namespace {

using testing::ElementsAre;

cpu_set_t Set(const std::vector<size_t>& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const size_t cpu : cpus) CPU_SET(cpu, &set);
  return set;
}

std::vector<size_t> Share(const std::vector<size_t>& usable, double cores, uint32_t slot) {
  const cpu_set_t share = ShareOfProcessors(Set(usable), cores, slot * 65536);
  std::vector<size_t> cpus;
  for (size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &share)) cpus.push_back(cpu);
  return cpus;
}

TEST(ProcessorShare, AllWithoutALimitBelowTheHosts) {
  EXPECT_THAT(Share({0, 1, 2, 3}, 0, 5), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(Share({0, 1, 2, 3}, 3.5, 5), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(Share({0, 1, 2, 3}, 4, 5), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(Share({7}, 0.5, 5), ElementsAre(7));
}

TEST(ProcessorShare, NeighboursLieSideBySide) {
  EXPECT_THAT(Share({0, 1, 2, 3}, 1, 16), ElementsAre(0));
  EXPECT_THAT(Share({0, 1, 2, 3}, 0.2, 17), ElementsAre(1));
  EXPECT_THAT(Share({0, 1, 2, 3}, 1.5, 16), ElementsAre(0, 1));
  EXPECT_THAT(Share({0, 1, 2, 3}, 1.5, 17), ElementsAre(2, 3));
  EXPECT_THAT(Share({0, 1, 2, 3}, 3, 1), ElementsAre(0, 1, 3));
}

TEST(ProcessorShare, OfThoseThatMayBeUsed) {
  EXPECT_THAT(Share({2, 5, 900}, 2, 1), ElementsAre(2, 900));
  EXPECT_THAT(Share({2, 5, 900}, 1, 2), ElementsAre(900));
}

}  // namespace
}  // namespace bailey::supervisor
