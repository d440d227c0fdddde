// TlsSite: one certificate with its key, ready to serve, and what is spoken behind it. Made from
// the text of two PEM files; only if they fit. Immutable; connections share it.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "netproxy/tls/ticket_keys.h"

namespace bailey::netproxy {

class TlsSite {
 public:
  struct Options {
    std::string name;  // for messages: the path of the certificate
    uint16_t port = 443;
    std::vector<std::string> alpn;       // the server's preference first
    std::string_view certificates, key;  // PEM: the leaf, then its issuers; the private key
  };
  // `keys` must outlive it. Errors: Invalid, saying what does not fit what. No byte of the files is
  // in the message.
  static Result<std::shared_ptr<const TlsSite>> Make(const Options& options, TicketKeys& keys);

  const std::string& name() const { return name_; }
  uint16_t port() const { return port_; }
  SSL_CTX* context() const { return context_.get(); }
  // Unix time.
  int64_t expires_at() const { return expires_at_; }
  // By the certificate's own names, wildcards included.
  bool IsFor(std::string_view host) const;

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  TlsSite() = default;
  Status Configure(const Options& options, TicketKeys& keys);
  Status LoadCertificates(const Options& options);
  Status LoadKey(const Options& options);
  static int OnAlpn(SSL* ssl, const unsigned char** out, unsigned char* out_size,
                    const unsigned char* in, unsigned in_size, void* site);

  std::string name_;
  uint16_t port_ = 0;
  std::string alpn_;  // as on the wire
  int64_t expires_at_ = 0;
  std::unique_ptr<SSL_CTX, Free> context_;
};

// The sites of one port; the first one is for clients that name none of them.
class TlsPort {
 public:
  void Add(std::shared_ptr<const TlsSite> site) { sites_.push_back(std::move(site)); }
  const std::vector<std::shared_ptr<const TlsSite>>& sites() const { return sites_; }
  // A server's end; nullptr without memory. The port must outlive it.
  SSL* MakeServer() const;

 private:
  static int OnServerName(SSL* ssl, int* alert, void*);

  std::vector<std::shared_ptr<const TlsSite>> sites_;
};

}  // namespace bailey::netproxy
