// TicketKeys: with which session tickets are sealed. Whoever gets hold of a key reads all sessions
// that were begun under it, so keys are made anew again and again and old ones wiped: a ticket can
// be used for one to two periods. They live in this process alone and die with it. Not thread-safe.
#pragma once

#include <openssl/ssl.h>

#include <array>
#include <cstdint>
#include <optional>

#include "base/result.h"

namespace bailey::netproxy {

class TicketKeys {
 public:
  TicketKeys() = default;
  ~TicketKeys();
  TicketKeys(const TicketKeys&) = delete;
  TicketKeys& operator=(const TicketKeys&) = delete;

  // A fresh key; the one before it opens tickets until the next time, and is wiped then.
  Status Rotate();
  // Has `context` use these, which must outlive it.
  void Serve(SSL_CTX* context);

 private:
  struct Key {
    std::array<unsigned char, 16> name;
    std::array<unsigned char, 32> cipher, mac;
  };
  static int OnTicket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                      EVP_MAC_CTX* mac, int sealing);
  int Seal(unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac);
  int Open(const unsigned char* name, const unsigned char* iv, EVP_CIPHER_CTX* cipher,
           EVP_MAC_CTX* mac);

  std::optional<Key> current_, previous_;
};

}  // namespace bailey::netproxy
