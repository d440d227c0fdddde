#include <gtest/gtest.h>

#include <random>
#include <string_view>

#include "netproxy/dns_message.h"

namespace bailey::netproxy {
namespace {

// id 0x1234, RD, one question: "www.Example.org" A IN.
DnsBytes Query() {
  constexpr std::string_view kText(
      "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
      "\3www\7Example\3org\0\0\1\0\1",
      33);
  return {kText.begin(), kText.end()};
}
DnsBytes With(DnsBytes message, size_t at, uint8_t value) {
  message.at(at) = value;
  return message;
}
DnsBytes Answer() { return With(Query(), 2, 0x81); }

TEST(DnsMessage, ChecksQueries) {
  EXPECT_EQ(CheckQuery(Query()), QueryCheck::kGood);
  DnsBytes with_edns = With(Query(), 11, 1);
  with_edns.insert(with_edns.end(), {0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0});
  EXPECT_EQ(CheckQuery(with_edns), QueryCheck::kGood);
  const DnsBytes query = Query();
  for (size_t size = 0; size < kDnsHeaderBytes; ++size)
    EXPECT_EQ(CheckQuery(DnsView(query).first(size)), QueryCheck::kDrop) << size;
  for (size_t size = kDnsHeaderBytes; size < query.size(); ++size)
    EXPECT_EQ(CheckQuery(DnsView(query).first(size)), QueryCheck::kFormatError) << size;
  EXPECT_EQ(CheckQuery(Answer()), QueryCheck::kDrop);
  EXPECT_EQ(CheckQuery(With(Query(), 2, 0x28)), QueryCheck::kNotImplemented);  // UPDATE
  EXPECT_EQ(CheckQuery(With(Query(), 5, 0)), QueryCheck::kFormatError);
  EXPECT_EQ(CheckQuery(With(Query(), 5, 2)), QueryCheck::kFormatError);
  EXPECT_EQ(CheckQuery(With(Query(), 12, 0xc0)), QueryCheck::kFormatError);  // a pointer
  EXPECT_EQ(CheckQuery(With(Query(), 12, 0x40)), QueryCheck::kFormatError);
  DnsBytes long_label = With(Query(), 12, 0x40);  // even where 64 bytes follow
  long_label.insert(long_label.end(), 100, 0);
  EXPECT_EQ(CheckQuery(long_label), QueryCheck::kFormatError);
}

TEST(DnsMessage, ANameHasAtMost255Bytes) {
  DnsBytes query = Query();
  query.resize(kDnsHeaderBytes);
  const auto with_labels = [&query](std::initializer_list<uint8_t> lengths) {
    DnsBytes long_query = query;
    for (const uint8_t length : lengths) {
      long_query.push_back(length);
      long_query.insert(long_query.end(), length, 'x');
    }
    long_query.insert(long_query.end(), {0, 0, 1, 0, 1});
    return long_query;
  };
  EXPECT_EQ(CheckQuery(with_labels({63, 63, 63, 61})), QueryCheck::kGood);
  EXPECT_EQ(CheckQuery(with_labels({63, 63, 63, 62})), QueryCheck::kFormatError);
  EXPECT_EQ(CheckQuery(with_labels({})), QueryCheck::kGood);  // the root
}

TEST(DnsMessage, KnowsTheAnswer) {
  EXPECT_TRUE(IsAnswerTo(Answer(), Query()));
  EXPECT_TRUE(IsAnswerTo(With(Answer(), 3, 0x83), Query()));  // NXDOMAIN
  EXPECT_TRUE(IsAnswerTo(With(Answer(), 13, 'W'), Query()));  // without case
  EXPECT_FALSE(IsAnswerTo(Query(), Query()));
  EXPECT_FALSE(IsAnswerTo(With(Answer(), 0, 0x13), Query()));
  EXPECT_FALSE(IsAnswerTo(With(Answer(), 1, 0x35), Query()));
  EXPECT_FALSE(IsAnswerTo(With(Answer(), 2, 0xa9), Query()));  // another opcode
  EXPECT_FALSE(IsAnswerTo(With(Answer(), 13, 'v'), Query()));  // another name
  EXPECT_FALSE(IsAnswerTo(With(Answer(), 30, 28), Query()));   // another type
  EXPECT_FALSE(IsAnswerTo(With(Answer(), 32, 3), Query()));    // another class
  EXPECT_FALSE(IsAnswerTo(With(Answer(), 5, 0), Query()));     // no question
  const DnsBytes answer = Answer();
  for (size_t size = 0; size < answer.size(); ++size)
    EXPECT_FALSE(IsAnswerTo(DnsView(answer).first(size), Query())) << size;
  // A type that differs from the one asked as letters differ in case.
  EXPECT_FALSE(IsAnswerTo(With(Answer(), 30, 'a'), With(Query(), 30, 'A')));
}

TEST(DnsMessage, MakesErrors) {
  const DnsBytes reply = MakeDnsError(Query(), DnsError::kServerFailure);
  EXPECT_TRUE(IsAnswerTo(reply, Query()));
  EXPECT_EQ(reply[2], 0x81);
  EXPECT_EQ(reply[3], 0x82);
  // Of a broken question only the header comes back.
  EXPECT_EQ(MakeDnsError(With(Query(), 12, 0xc0), DnsError::kFormat).size(), kDnsHeaderBytes);
}

TEST(DnsMessage, SurvivesNoise) {
  std::mt19937 random(3);
  const DnsBytes good = Query();
  for (int i = 0; i < 200'000; ++i) {
    // A heap block of the very size, so that a sanitizer sees a read beyond it.
    DnsBytes message = random() % 2 == 0 ? good : DnsBytes(random() % 64);
    if (message.size() != good.size())
      for (uint8_t& byte : message) byte = static_cast<uint8_t>(random());
    for (uint32_t n = random() % 4; n > 0 && !message.empty(); --n)
      message[random() % message.size()] = static_cast<uint8_t>(random());
    message.resize(random() % 4 == 0 ? random() % (message.size() + 1) : message.size());
    message.shrink_to_fit();
    const auto question = DnsQuestion(message);
    if (question) {
      EXPECT_LE(question->size() + kDnsHeaderBytes, message.size());
    }
    (void)IsAnswerTo(message, good);
    if (CheckQuery(message) != QueryCheck::kDrop) {
      const DnsBytes error = MakeDnsError(message, DnsError::kFormat);
      EXPECT_EQ(DnsId(error), DnsId(message));
      EXPECT_EQ(CheckQuery(error), QueryCheck::kDrop);  // never answered in turn
    }
  }
}

}  // namespace
}  // namespace bailey::netproxy
