#include "netproxy/tls/site.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <utility>

namespace bailey::netproxy {
namespace {

template <auto kFree>
struct Freer {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Bio = std::unique_ptr<BIO, Freer<BIO_free>>;
using Certificate = std::unique_ptr<X509, Freer<X509_free>>;
using PrivateKey = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;

// AEAD ciphers with forward secrecy; those of TLS 1.3 are so by themselves.
constexpr const char* kCiphers = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr const char* kGroups = "X25519:P-256:P-384";
constexpr uint64_t kOptions = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                              SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA;
constexpr int kSecurityLevel = 2;  // RSA of 2,048 bits or more, no SHA-1
constexpr int kMostInChain = 8;

// What OpenSSL said last, without its file names and without anything of ours in it.
Error Because(const std::string& what) {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* const reason = ERR_reason_error_string(code);
  return Invalid(what + (reason != nullptr ? std::string(": ") + reason : std::string()));
}

Bio Text(std::string_view text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// A key with a passphrase cannot be used, and nobody is there to be asked for one.
int NoPassphrase(char*, int, int, void*) { return -1; }

int64_t UnixTime(const ASN1_TIME* time) {
  std::tm utc{};
  return ASN1_TIME_to_tm(time, &utc) == 1 ? static_cast<int64_t>(::timegm(&utc)) : 0;
}

bool IsIssuedBy(X509* certificate, X509* issuer) {
  return X509_check_issued(issuer, certificate) == X509_V_OK &&
         X509_verify(certificate, X509_get0_pubkey(issuer)) == 1;
}

}  // namespace

Result<std::shared_ptr<const TlsSite>> TlsSite::Make(const Options& options, TicketKeys& keys) {
  ERR_clear_error();
  std::shared_ptr<TlsSite> site(new TlsSite);
  site->name_ = options.name;
  site->port_ = options.port;
  for (const std::string& protocol : options.alpn)
    site->alpn_ += static_cast<char>(protocol.size()) + protocol;
  BAILEY_TRY(site->Configure(options, keys));
  BAILEY_TRY(site->LoadCertificates(options));
  BAILEY_TRY(site->LoadKey(options));
  return std::shared_ptr<const TlsSite>(std::move(site));
}

Status TlsSite::Configure(const Options& options, TicketKeys& keys) {
  context_.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* const context = context_.get();
  if (context == nullptr) return Because("SSL_CTX_new");
  SSL_CTX_set_security_level(context, kSecurityLevel);
  SSL_CTX_set_options(context, kOptions);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // A session is good for the port that it was begun at; its state is in the ticket alone.
  const std::string id = "port " + std::to_string(options.port);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_cipher_list(context, kCiphers) != 1 ||
      SSL_CTX_set1_groups_list(context, kGroups) != 1 ||
      SSL_CTX_set_session_id_context(context, reinterpret_cast<const unsigned char*>(id.data()),
                                     static_cast<unsigned>(id.size())) != 1)
    return Because("set up TLS");
  if (!alpn_.empty()) SSL_CTX_set_alpn_select_cb(context, OnAlpn, this);
  keys.Serve(context);
  return {};
}

Status TlsSite::LoadCertificates(const Options& options) {
  const Bio text = Text(options.certificates);
  Certificate leaf(PEM_read_bio_X509(text.get(), nullptr, NoPassphrase, nullptr));
  if (!leaf) return Because("no certificate in the file");
  if (SSL_CTX_use_certificate(context_.get(), leaf.get()) != 1) return Because("certificate");
  expires_at_ = UnixTime(X509_get0_notAfter(leaf.get()));
  X509* last = leaf.get();
  for (int i = 0;; ++i) {
    Certificate issuer(PEM_read_bio_X509(text.get(), nullptr, NoPassphrase, nullptr));
    if (!issuer) break;
    if (i == kMostInChain) return Invalid("the chain is too long");
    if (!IsIssuedBy(last, issuer.get()))
      return Invalid("the chain does not fit: each certificate must be issued by the next one");
    if (SSL_CTX_add1_chain_cert(context_.get(), issuer.get()) != 1) return Because("chain");
    STACK_OF(X509)* chain = nullptr;  // which has it now
    SSL_CTX_get0_chain_certs(context_.get(), &chain);
    last = sk_X509_value(chain, sk_X509_num(chain) - 1);
  }
  if (const unsigned long code = ERR_peek_last_error();
      ERR_GET_LIB(code) != ERR_LIB_PEM || ERR_GET_REASON(code) != PEM_R_NO_START_LINE)
    return Because("chain");
  ERR_clear_error();
  return {};
}

Status TlsSite::LoadKey(const Options& options) {
  const Bio text = Text(options.key);
  const PrivateKey key(PEM_read_bio_PrivateKey(text.get(), nullptr, NoPassphrase, nullptr));
  if (!key) return Because("no usable private key in the file");
  if (SSL_CTX_use_PrivateKey(context_.get(), key.get()) != 1 ||
      SSL_CTX_check_private_key(context_.get()) != 1)
    return Because("the key does not fit the certificate");
  return {};
}

int TlsSite::OnAlpn(SSL*, const unsigned char** out, unsigned char* out_size,
                    const unsigned char* in, unsigned in_size, void* site) {
  const std::string& ours = static_cast<const TlsSite*>(site)->alpn_;
  unsigned char* chosen = nullptr;
  const int outcome =
      SSL_select_next_proto(&chosen, out_size, reinterpret_cast<const unsigned char*>(ours.data()),
                            static_cast<unsigned>(ours.size()), in, in_size);
  *out = chosen;
  // RFC 7301, 3.2: nothing in common is fatal.
  return outcome == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

bool TlsSite::IsFor(std::string_view host) const {
  return X509_check_host(SSL_CTX_get0_certificate(context_.get()), host.data(), host.size(), 0,
                         nullptr) == 1;
}

SSL* TlsPort::MakeServer() const {
  SSL_CTX* const context = sites_.front()->context();
  // SSL_CTX_set_tlsext_servername_callback(), without its cast of C's.
  SSL_CTX_callback_ctrl(context, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB,
                        reinterpret_cast<void (*)()>(OnServerName));
  SSL* const ssl = SSL_new(context);
  if (ssl != nullptr) SSL_set_app_data(ssl, const_cast<TlsPort*>(this));
  return ssl;
}

int TlsPort::OnServerName(SSL* ssl, int*, void*) {
  const auto* const port = static_cast<const TlsPort*>(SSL_get_app_data(ssl));
  const char* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return SSL_TLSEXT_ERR_NOACK;
  for (const auto& site : port->sites_)
    if (site->IsFor(name)) {
      SSL_set_SSL_CTX(ssl, site->context());
      return SSL_TLSEXT_ERR_OK;
    }
  return SSL_TLSEXT_ERR_NOACK;
}

}  // namespace bailey::netproxy
