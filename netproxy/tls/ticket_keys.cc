#include "netproxy/tls/ticket_keys.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <string>

namespace bailey::netproxy {
namespace {

// As SSL_CTX_set_tlsext_ticket_key_evp_cb(3) has them.
constexpr int kFailed = -1, kNoSuchKey = 0, kGood = 1, kGoodButRenew = 2;

bool SetMacKey(EVP_MAC_CTX* mac, const std::array<unsigned char, 32>& key) {
  std::string digest = "SHA256";
  std::array<OSSL_PARAM, 3> parameters = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, const_cast<unsigned char*>(key.data()),
                                        key.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_end()};
  return EVP_MAC_CTX_set_params(mac, parameters.data()) == 1;
}

template <class Key>
void Wipe(std::optional<Key>& key) {
  if (key) OPENSSL_cleanse(&*key, sizeof *key);
  key.reset();
}

}  // namespace

TicketKeys::~TicketKeys() {
  Wipe(current_);
  Wipe(previous_);
}

Status TicketKeys::Rotate() {
  Key fresh;
  if (RAND_bytes(fresh.name.data(), static_cast<int>(fresh.name.size())) != 1 ||
      RAND_priv_bytes(fresh.cipher.data(), static_cast<int>(fresh.cipher.size())) != 1 ||
      RAND_priv_bytes(fresh.mac.data(), static_cast<int>(fresh.mac.size())) != 1)
    return Errno("random bytes for a ticket key", EIO);
  Wipe(previous_);
  previous_ = current_;
  current_ = fresh;
  OPENSSL_cleanse(&fresh, sizeof fresh);
  return {};
}

void TicketKeys::Serve(SSL_CTX* context) {
  SSL_CTX_set_app_data(context, this);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, OnTicket);
}

int TicketKeys::OnTicket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                         EVP_MAC_CTX* mac, int sealing) {
  auto* const keys = static_cast<TicketKeys*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  return sealing != 0 ? keys->Seal(name, iv, cipher, mac) : keys->Open(name, iv, cipher, mac);
}

int TicketKeys::Seal(unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                     EVP_MAC_CTX* mac) {
  if (!current_) return kFailed;
  const EVP_CIPHER* const aes = EVP_aes_256_cbc();
  if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(aes)) != 1 ||
      EVP_EncryptInit_ex(cipher, aes, nullptr, current_->cipher.data(), iv) != 1 ||
      !SetMacKey(mac, current_->mac))
    return kFailed;
  std::ranges::copy(current_->name, name);
  return kGood;
}

int TicketKeys::Open(const unsigned char* name, const unsigned char* iv, EVP_CIPHER_CTX* cipher,
                     EVP_MAC_CTX* mac) {
  for (const auto* key : {&current_, &previous_}) {
    if (!*key || !std::equal((*key)->name.begin(), (*key)->name.end(), name)) continue;
    if (!SetMacKey(mac, (*key)->mac) ||
        EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, (*key)->cipher.data(), iv) != 1)
      return kFailed;
    return key == &current_ ? kGood : kGoodButRenew;
  }
  return kNoSuchKey;
}

}  // namespace bailey::netproxy
