// DNS messages from the tenant and from resolvers.
#include <sys/socket.h>

#include "base/unique_fd.h"
#include "netproxy/dns_frames.h"
#include "netproxy/dns_message.h"
#include "tests/fuzz/fuzz_input.h"

using bailey::FuzzInput;
using bailey::Require;
using bailey::UniqueFd;
using namespace bailey::netproxy;  // NOLINT(google-build-using-namespace): its parsers are meant

namespace {

void JudgeMessages(FuzzInput& input) {
  const std::string first = input.Text();
  DnsBytes query(first.begin(), first.end());
  const DnsBytes answer = input.Rest();
  const QueryCheck check = CheckQuery(query);
  if (check == QueryCheck::kGood) Require(DnsQuestion(query).has_value(), "it has a question");
  (void)DnsQuestion(answer);
  (void)IsAnswerTo(answer, query);
  if (check == QueryCheck::kDrop) return;
  const DnsBytes error = MakeDnsError(query, DnsError::kServerFailure);
  Require(error.size() >= kDnsHeaderBytes && error.size() <= query.size(), "an error is short");
  Require(DnsId(error) == DnsId(query), "and has the id");
  Require(CheckQuery(error) == QueryCheck::kDrop, "and is an answer itself");
  if (check == QueryCheck::kGood) Require(IsAnswerTo(error, query), "to that query");
}

// Whatever arrives, in whatever pieces, comes out as whole messages.
void ReadFrames(FuzzInput& input) {
  int ends[2];
  Require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0,
          "socketpair");
  UniqueFd ours(ends[0]), theirs(ends[1]);
  DnsFrames frames;
  size_t sent = 0, taken = 0;
  while (!input.empty()) {
    const std::string piece = input.Text();
    if (piece.empty()) continue;
    const ssize_t written = ::write(theirs.get(), piece.data(), piece.size());
    Require(written == static_cast<ssize_t>(piece.size()), "written");
    sent += piece.size();
    for (int reads = 0; reads < 8 && frames.Read(ours.get()); ++reads)
      while (const auto message = frames.Take()) taken += message->size() + 2;
  }
  Require(taken <= sent, "no more comes out than went in");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  if (input.Below(4) == 0)
    ReadFrames(input);
  else
    JudgeMessages(input);
  return 0;
}
