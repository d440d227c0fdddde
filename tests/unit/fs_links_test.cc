// What the index of hard links writes down, and what it makes of rubbish.
#include <gtest/gtest.h>

#include "fs/link_index.h"

namespace bailey::fs {
namespace {

TEST(LinkKey, IsTheNameOfAnEntry) {
  const LinkKey key{3, 0xfedcba9876543210U};
  EXPECT_EQ(key.Text(), "3-18364758544493064720");
  EXPECT_EQ(LinkKey::Parse(key.Text()), key);
}

TEST(LinkKey, NothingElseIs) {
  for (const char* text : {"", "-", "1-", "-1", "1-2-3", "1-2 ", " 1-2", "1--2", "70000-1", "1-x",
                           "1-99999999999999999999", "w1", "1_2"})
    EXPECT_FALSE(LinkKey::Parse(text)) << text;
}

TEST(LinkMark, KeepsWhatItSays) {
  for (const LinkMark& mark : {LinkMark{true, 3, 4096, 1000, 999999999},
                               LinkMark{false, -1, 0, -5, 0}, LinkMark{false, 2, 1, 1, 1}}) {
    const auto again = LinkMark::Parse(mark.Text());
    ASSERT_TRUE(again) << mark.Text();
    EXPECT_EQ(again->Text(), mark.Text());
    EXPECT_EQ(again->is_sum, mark.is_sum);
    EXPECT_EQ(again->value, mark.value);
  }
}

TEST(LinkMark, IsNothingElse) {
  for (const char* text : {"", "=", "+", "3 1 2 3", "=3", "=3 1 2", "=3 1 2 3 4", "=3 1 2 3 ",
                           "=3  1 2 3", "-3 1 2 3", "=x 1 2 3", "+99999999999999999999 1 2 3"})
    EXPECT_FALSE(LinkMark::Parse(text)) << text;
}

TEST(LinkMark, IsOfOneLowerFile) {
  struct stat lower {};
  lower.st_nlink = 3;
  lower.st_size = 10;
  lower.st_mtim = {5, 6};
  const LinkMark mark = LinkMark::OfLower(lower);
  EXPECT_TRUE(mark.IsOf(lower));
  for (const auto& change :
       {+[](struct stat& st) { st.st_size = 11; }, +[](struct stat& st) { st.st_mtim.tv_sec = 4; },
        +[](struct stat& st) { st.st_mtim.tv_nsec = 7; }}) {
    struct stat other = lower;
    change(other);
    EXPECT_FALSE(mark.IsOf(other));
  }
}

TEST(LinkEntry, CountsWhatTheDiskHasAndWhatTheLowerStillShows) {
  struct stat st {};
  st.st_nlink = 2;  // one name and the index
  LinkEntry entry;
  entry.mark = {true, 3, 0, 0, 0};
  EXPECT_EQ(entry.LinksToShow(st), 3);
  entry.mark = {false, 1, 0, 0, 0};
  EXPECT_EQ(entry.LinksToShow(st), 3);
  st.st_nlink = 1;
  EXPECT_EQ(entry.LinksToShow(st), 2);
}

}  // namespace
}  // namespace bailey::fs
