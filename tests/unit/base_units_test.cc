#include <gtest/gtest.h>

#include <utility>

#include "base/units.h"

namespace bailey {
namespace {

TEST(Units, SizesAsPeopleWriteThem) {
  const std::pair<const char*, uint64_t> cases[] = {{"0", 0},
                                                    {"4096", 4096},
                                                    {"512M", 512ULL << 20},
                                                    {"1.5G", 3ULL << 29},
                                                    {"10GiB", 10ULL << 30},
                                                    {"1K", 1024},
                                                    {"2TB", 2ULL << 40},
                                                    {"7B", 7}};
  for (const auto& [text, bytes] : cases) {
    const auto size = ParseSize(text);
    ASSERT_TRUE(size) << text;
    EXPECT_EQ(*size, bytes) << text;
  }
}

TEST(Units, WrongSizesAreRefusedWithAHint) {
  for (const char* text : {"", "M", "-1", "1X", "512m", "1e9", "0x10", "1.2.3G", "9999999999T",
                           "inf", "nan", "1 G", "1GG", " 1"}) {
    const auto size = ParseSize(text);
    ASSERT_FALSE(size) << text;
    EXPECT_FALSE(size.error().hint.empty()) << text;
  }
}

TEST(Units, FormattingReadsBack) {
  EXPECT_EQ(FormatSize(512ULL << 20), "512M");
  EXPECT_EQ(FormatSize(3ULL << 29), "1.5G");
  EXPECT_EQ(FormatSize(100), "100");
  EXPECT_EQ(FormatDuration(std::chrono::milliseconds(90000)), "90s");
  EXPECT_EQ(FormatDuration(std::chrono::milliseconds(120000)), "2m");
  EXPECT_EQ(FormatDuration(std::chrono::milliseconds(0)), "0s");
}

TEST(Units, Durations) {
  EXPECT_EQ(ParseDuration("10s")->count(), 10000);
  EXPECT_EQ(ParseDuration("1.5s")->count(), 1500);
  EXPECT_EQ(ParseDuration("500ms")->count(), 500);
  EXPECT_EQ(ParseDuration("1h")->count(), 3600000);
  for (const char* text : {"", "10", "s", "-1s", "1d", "1e3s"})
    EXPECT_FALSE(ParseDuration(text)) << text;
}

}  // namespace
}  // namespace bailey
