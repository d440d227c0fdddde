// What the first bytes of a connection say about its protocol. Pure; the bytes are a stranger's.
#pragma once

#include <cstddef>
#include <string_view>

namespace bailey::netproxy {

enum class FirstBytes {
  kTooFew,  // may become either
  kHttp,    // a request of HTTP/1
  kHead,    // likewise, for HEAD: whose answer has no body
  kOther,
};

// Never kTooFew when there are so many.
inline constexpr size_t kEnoughFirstBytes = 16;

// One of the methods that clients of web sites use, one space, and "/" or "http://" or "https://".
// What merely resembles HTTP is not: `GET key` of redis, `OPTIONS *` of RTSP, the preface of
// HTTP/2.
FirstBytes JudgeFirstBytes(std::string_view bytes);

}  // namespace bailey::netproxy
