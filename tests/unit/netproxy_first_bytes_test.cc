#include <gtest/gtest.h>

#include <string>

#include "netproxy/first_bytes.h"

namespace bailey::netproxy {
namespace {

using enum FirstBytes;

TEST(FirstBytes, TellsRequestsFromTheRest) {
  const struct {
    std::string_view bytes;
    FirstBytes judged;
  } rows[] = {
      {"GET / HTTP/1.1\r\n", kHttp},
      {"GET /", kHttp},
      {"HEAD /x HTTP/1.0", kHead},
      {"POST /form HTTP/", kHttp},
      {"PUT /a", kHttp},
      {"PATCH /a", kHttp},
      {"DELETE /a", kHttp},
      {"OPTIONS /a", kHttp},
      {"GET http://site/", kHttp},
      {"OPTIONS https://", kHttp},
      {"", kTooFew},
      {"G", kTooFew},
      {"P", kTooFew},
      {"PA", kTooFew},
      {"OPTIONS", kTooFew},
      {"GET ", kTooFew},
      {"GET http", kTooFew},
      {"GET key\r\n", kOther},               // redis, inline
      {"OPTIONS * RTSP/1", kOther},          // RTSP
      {"OPTIONS sip:a@b.", kOther},          // SIP
      {"PRI * HTTP/2.0\r\n", kOther},        // HTTP/2 would not understand the answer
      {"CONNECT a:443 HT", kOther},          // a proxy's client
      {"get / HTTP/1.1\r\n", kOther},        // methods are case-sensitive
      {"EHLO there\r\n", kOther},            // SMTP
      {"SSH-2.0-OpenSSH_", kOther},          // SSH
      {"\x16\x03\x01\x02\x00\x01", kOther},  // a ClientHello
      {std::string_view("\0\0\0\0", 4), kOther},
      {"GETX / HTTP/1.1\r", kOther},
      {"GET  / HTTP/1.1\r", kOther},
  };
  for (const auto& row : rows) EXPECT_EQ(JudgeFirstBytes(row.bytes), row.judged) << row.bytes;
}

TEST(FirstBytes, DecidesByTheLastOfEnough) {
  for (const char* const method : {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
    for (const char* const target : {" /", " http:/", " https:/", " httpx", " x"}) {
      std::string bytes = std::string(method) + target;
      ASSERT_LE(bytes.size(), kEnoughFirstBytes);
      // What was decided stays so, whatever comes after.
      FirstBytes before = kTooFew;
      bytes.resize(kEnoughFirstBytes, 'x');
      for (size_t size = 0; size <= bytes.size(); ++size) {
        const FirstBytes now = JudgeFirstBytes(std::string_view(bytes).substr(0, size));
        if (before != kTooFew) {
          EXPECT_EQ(now, before) << bytes;
        }
        before = now;
      }
      EXPECT_NE(before, kTooFew) << bytes;
    }
}

}  // namespace
}  // namespace bailey::netproxy
