#include <gtest/gtest.h>

#include "base/kernel_counters.h"

namespace bailey {
namespace {

TEST(KernelCounters, KeysAreWholeWords) {
  const std::string_view text = "usage_usec 12\nuser_usec 34\nuser 5\nbroken\nlast 6";
  EXPECT_EQ(KeyedNumber(text, "user_usec"), 34U);
  EXPECT_EQ(KeyedNumber(text, "user"), 5U);
  EXPECT_EQ(KeyedNumber(text, "usec"), 0U);
  EXPECT_EQ(KeyedNumber(text, "broken"), 0U);
  EXPECT_EQ(KeyedNumber(text, "last"), 6U);
  EXPECT_EQ(KeyedNumber("", "last"), 0U);
}

TEST(KernelCounters, PressureIsTheTimeOfSome) {
  EXPECT_EQ(PressureTotalOf("some avg10=0.00 avg60=0.00 avg300=0.00 total=4711\n"
                            "full avg10=0.00 avg60=0.00 avg300=0.00 total=12\n"),
            4711U);
  EXPECT_EQ(PressureTotalOf("full avg10=0.00 total=12\n"), 0U);
  EXPECT_EQ(PressureTotalOf(""), 0U);
}

TEST(KernelCounters, ATotalThatFellHasNotGrown) {
  EXPECT_EQ(Growth(7, 5), 2U);
  EXPECT_EQ(Growth(5, 7), 0U);
}

}  // namespace
}  // namespace bailey
