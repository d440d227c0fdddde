#include "netproxy/tls/server.h"

#include <openssl/crypto.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <string>
#include <utility>

#include "base/files.h"
#include "base/log.h"
#include "netproxy/tls/handover.h"

namespace bailey::netproxy {
namespace {

namespace json = boost::json;

constexpr size_t kLargestFile = size_t{256} * 1024;
constexpr uint32_t kEdges = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

// The text of a PEM file, wiped when it goes: a certificate's may have the key in it.
struct PemText {
  PemText() = default;
  ~PemText() { OPENSSL_cleanse(text.data(), text.size()); }
  PemText(const PemText&) = delete;
  PemText& operator=(const PemText&) = delete;
  Status Read(int fd);
  std::string text;
};

Status PemText::Read(int fd) {
  text.resize(kLargestFile);
  const ssize_t got = ::pread(fd, text.data(), text.size(), 0);
  if (got < 0) return Errno("read");
  if (static_cast<size_t>(got) == kLargestFile) return Errno("read", EFBIG);
  text.resize(static_cast<size_t>(got));
  return {};
}

// The supervisor is trusted; its messages are not wrong.
TlsSite::Options OptionsFrom(const json::object& site) {
  TlsSite::Options options;
  options.name = site.at("name").as_string().c_str();
  options.port = site.at("port").to_number<uint16_t>();
  for (const json::value& protocol : site.at("alpn").as_array())
    options.alpn.emplace_back(protocol.as_string().c_str());
  return options;
}

}  // namespace

TlsServer::~TlsServer() {
  while (!handshakes_.empty()) Remove(handshakes_.begin());
  while (!open_.empty()) Remove(open_.begin());
}

Status TlsServer::Start() {
  BAILEY_TRY(ticket_keys_.Rotate());
  loop_.After(kTicketPeriod, [this] { RotateTicketKeys(); });
  counters_.Set(TlsCounter::kOpenConnections, 0);  // an earlier one's went with it
  return loop_.Watch(control_.get(), EPOLLIN, [this](uint32_t) { OnControl(); });
}

void TlsServer::RotateTicketKeys() {
  if (const Status rotated = ticket_keys_.Rotate(); !rotated) LogError(rotated.error().Message());
  loop_.After(kTicketPeriod, [this] { RotateTicketKeys(); });
}

void TlsServer::OnControl() {
  auto message = ReceiveMessage(control_.get());
  if (!message) return loop_.Stop();  // the supervisor is gone
  if (message->text == "proxy" && message->fds.size() == 1)
    return OnProxy(std::move(message->fds.front()));
  OnCertificates(*message);
}

// All sites anew: [{"port","name","alpn"},…], with a certificate's and a key's descriptor each. One
// that cannot be used leaves its predecessor in place.
void TlsServer::OnCertificates(const Message& message) {
  const json::value sites = json::parse(message.text);
  std::map<uint16_t, std::shared_ptr<TlsPort>> ports;
  for (size_t i = 0; i < sites.as_array().size(); ++i) {
    const TlsSite::Options options = OptionsFrom(sites.as_array()[i].as_object());
    auto site = LoadSite(options, message.fds.at(2 * i).get(), message.fds.at(2 * i + 1).get());
    if (site == nullptr) continue;
    auto& port = ports[options.port];
    if (port == nullptr) port = std::make_shared<TlsPort>();
    port->Add(std::move(site));
  }
  ports_.clear();
  for (auto& [number, port] : ports) ports_[number] = std::move(port);
  CountSites();
}

std::shared_ptr<const TlsSite> TlsServer::LoadSite(TlsSite::Options options, int certificate,
                                                   int key) {
  PemText certificates, key_text;
  Status read = certificates.Read(certificate);
  if (read) read = key_text.Read(key);
  Result<std::shared_ptr<const TlsSite>> made = read ? Errno(options.name, EIO) : read.error();
  if (read) {
    options.certificates = certificates.text;
    options.key = key_text.text;
    made = TlsSite::Make(options, ticket_keys_);
  }
  if (made) return *made;
  counters_.Add(TlsCounter::kRefusedFiles);
  LogError("certificate " + options.name + " is not taken: " + made.error().Message());
  const auto port = ports_.find(options.port);
  if (port == ports_.end()) return nullptr;
  for (const auto& site : port->second->sites())
    if (site->name() == options.name) return site;
  return nullptr;
}

void TlsServer::CountSites() {
  uint64_t count = 0;
  int64_t earliest = 0;
  for (const auto& [number, port] : ports_)
    for (const auto& site : port->sites()) {
      if (count++ == 0 || site->expires_at() < earliest) earliest = site->expires_at();
    }
  counters_.Set(TlsCounter::kCertificates, count);
  counters_.Set(TlsCounter::kEarliestExpiry, static_cast<uint64_t>(std::max<int64_t>(earliest, 0)));
}

void TlsServer::OnProxy(UniqueFd link) {
  auto proxy = std::make_shared<Proxy>();
  proxy->link = std::move(link);
  const Status watched =
      loop_.Watch(proxy->link.get(), EPOLLIN, [this, proxy](uint32_t) { OnClient(proxy); });
  if (!watched) return LogError(watched.error().Message());
  proxies_.push_back(std::move(proxy));
}

void TlsServer::OnClient(const std::shared_ptr<Proxy>& proxy) {
  auto message = ReceiveMessage(proxy->link.get());
  if (!message) {
    const int error = message.error().Errno();
    if (error == EPIPE || error == ECONNRESET) Forget(proxy);  // its connections end by themselves
    return;  // without a descriptor to spare: that client waits until the proxy gives him up
  }
  const auto request = FromBytes<TlsRequest>(message->text);
  if (!request || message->fds.size() != 1) return LogWarning("not a client of a proxy's");
  const auto port = ports_.find(static_cast<uint16_t>(request->port));
  if (port == ports_.end()) {
    counters_.Add(TlsCounter::kFailedHandshakes);
    SendMessage(proxy->link.get(), AsBytes(TlsReply{request->id}));
    return;
  }
  if (handshakes_.size() >= kMostHandshakes)
    Settle(handshakes_.begin(), TlsConnection::State::kClosed);
  const auto client = handshakes_.emplace(handshakes_.end(), std::move(message->fds.front()),
                                          port->second, proxy, request->id);
  client->deadline = loop_.After(kMayShakeHands,
                                 [this, client] { Settle(client, TlsConnection::State::kClosed); });
  const Status watched = loop_.Watch(
      client->connection.client(), kEdges,
      [this, client](uint32_t events) { OnEvents(client, TlsConnection::Side::kClient, events); });
  if (!watched) Settle(client, TlsConnection::State::kClosed);
}

void TlsServer::Forget(const std::shared_ptr<Proxy>& proxy) {
  loop_.Unwatch(proxy->link.get());
  std::erase(proxies_, proxy);
}

void TlsServer::OnEvents(Place client, TlsConnection::Side side, uint32_t events) {
  Settle(client, client->connection.OnEvents(side, events));
}

void TlsServer::Settle(Place client, TlsConnection::State state) {
  if (state == TlsConnection::State::kHandshake) return;
  if (state == TlsConnection::State::kClosed) {
    if (!client->connection.IsOpen()) {
      counters_.Add(TlsCounter::kFailedHandshakes);
      Answer(*client, -1);
    }
    return Remove(client);
  }
  if (!client->connection.IsOpen()) return Open(client);
  if (state == TlsConnection::State::kMoreToDo && client->deadline == 0)
    client->deadline = loop_.After({}, [this, client] {
      client->deadline = 0;
      Settle(client, client->connection.Continue());
    });
}

void TlsServer::Open(Place client) {
  loop_.Cancel(std::exchange(client->deadline, 0));
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()) != 0)
    return Settle(client, TlsConnection::State::kClosed);
  UniqueFd ours(pair[0]);
  const UniqueFd theirs(pair[1]);
  const Status watched = loop_.Watch(ours.get(), kEdges, [this, client](uint32_t events) {
    OnEvents(client, TlsConnection::Side::kPlain, events);
  });
  if (!watched) return Settle(client, TlsConnection::State::kClosed);
  counters_.Add(TlsCounter::kHandshakes);
  if (client->connection.IsResumed()) counters_.Add(TlsCounter::kResumed);
  counters_.Add(TlsCounter::kOpenConnections);
  open_.splice(open_.end(), handshakes_, client);
  Answer(*client, theirs.get());
  Settle(client, client->connection.Open(std::move(ours)));
}

void TlsServer::Answer(const Client& client, int plain) {
  const auto proxy = client.proxy.lock();
  if (proxy == nullptr) return;
  const std::vector<int> fds = plain >= 0 ? std::vector<int>{plain} : std::vector<int>();
  if (const Status sent = SendMessage(proxy->link.get(), AsBytes(TlsReply{client.id}), fds); !sent)
    LogWarning(sent.error().Message());
}

void TlsServer::Remove(Place client) {
  loop_.Cancel(client->deadline);
  loop_.Unwatch(client->connection.client());
  if (!client->connection.IsOpen()) return static_cast<void>(handshakes_.erase(client));
  loop_.Unwatch(client->connection.plain());
  counters_.Subtract(TlsCounter::kOpenConnections);
  open_.erase(client);
}

}  // namespace bailey::netproxy
