#include "netproxy/suspended_page.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "netproxy/first_bytes.h"

namespace bailey::netproxy {
namespace {

constexpr std::string_view kBody = "This site is suspended.\n";

std::string Page(bool with_body) {
  std::string page =
      "HTTP/1.1 503 Service Unavailable\r\n"
      "Content-Type: text/plain; charset=utf-8\r\n"
      "Content-Length: " +
      std::to_string(kBody.size()) +
      "\r\n"
      "Retry-After: 60\r\n"
      "Cache-Control: no-store\r\n"
      "Connection: close\r\n\r\n";
  if (with_body) page += kBody;
  return page;
}

}  // namespace

SuspendedPage::~SuspendedPage() {
  while (!visitors_.empty()) TakeOut(visitors_.begin());
}

void SuspendedPage::Receive(InboundClient client) {
  if (visitors_.size() >= kMost) MakeWay(visitors_.begin());
  const int fd = client.accepted.fd.get();
  const auto visitor = visitors_.insert(visitors_.end(), Visitor{std::move(client)});
  // By edges: what is looked at and left in the socket must not wake us again.
  const Status watched = loop_.Watch(fd, EPOLLIN | EPOLLRDHUP | EPOLLET,
                                     [this, visitor](uint32_t) { OnEvents(visitor); });
  if (!watched) {
    LogWarning(watched.error().Message());
    visitors_.erase(visitor);
    return;
  }
  visitor->deadline = loop_.After(kPatience, [this, visitor] { LetIn(visitor); });
}

void SuspendedPage::OnEvents(Place visitor) {
  if (visitor->answered) return Ignore(visitor);
  std::array<char, kEnoughFirstBytes> bytes;
  const ssize_t got =
      ::recv(visitor->client.accepted.fd.get(), bytes.data(), bytes.size(), MSG_PEEK);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got < 0) return static_cast<void>(TakeOut(visitor));  // it has gone
  switch (JudgeFirstBytes({bytes.data(), static_cast<size_t>(got)})) {
    case FirstBytes::kTooFew:
      if (got == 0) LetIn(visitor);  // it has said all that it will
      return;
    case FirstBytes::kHttp:
      return Answer(visitor, true);
    case FirstBytes::kHead:
      return Answer(visitor, false);
    case FirstBytes::kOther:
      return LetIn(visitor);
  }
}

// Closing at once would reset what the client still sends, and with it the answer on its way.
void SuspendedPage::Answer(Place visitor, bool with_body) {
  const int fd = visitor->client.accepted.fd.get();
  const std::string page = Page(with_body);
  // The first bytes that are ever sent there: they have room.
  if (::send(fd, page.data(), page.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(page.size()))
    return static_cast<void>(TakeOut(visitor));
  ::shutdown(fd, SHUT_WR);
  visitor->answered = true;
  visitor->client.inside.Reset();
  loop_.Cancel(visitor->deadline);
  visitor->deadline = loop_.After(kMayLinger, [this, visitor] { TakeOut(visitor); });
  Ignore(visitor);
}

void SuspendedPage::Ignore(Place visitor) {
  std::array<char, 4096> bytes;
  for (;;) {
    const ssize_t got = ::recv(visitor->client.accepted.fd.get(), bytes.data(), bytes.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got > 0) visitor->ignored += static_cast<size_t>(got);
    if (got <= 0 || visitor->ignored > kMostIgnored) return static_cast<void>(TakeOut(visitor));
  }
}

void SuspendedPage::LetIn(Place visitor) { let_in_(TakeOut(visitor)); }

void SuspendedPage::MakeWay(Place visitor) {
  InboundClient client = TakeOut(visitor);
  if (client.inside) let_in_(std::move(client));
}

void SuspendedPage::LetAllIn() {
  for (auto visitor = visitors_.begin(); visitor != visitors_.end();)
    if (const auto next = visitor++; !next->answered) LetIn(next);
}

InboundClient SuspendedPage::TakeOut(Place visitor) {
  InboundClient client = std::move(visitor->client);
  loop_.Unwatch(client.accepted.fd.get());
  loop_.Cancel(visitor->deadline);
  visitors_.erase(visitor);
  return client;
}

}  // namespace bailey::netproxy
