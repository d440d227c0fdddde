// Certificates that fit or do not, and tickets under keys that change. The handshakes are real,
// between two ends in memory.
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

#include "netproxy/tls/site.h"
#include "tests/support/require.h"

namespace bailey::netproxy {
namespace {

struct KeyPair {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  KeyPair() = default;
  KeyPair(const KeyPair&) = delete;
  KeyPair& operator=(const KeyPair&) = delete;
  ~KeyPair() { EVP_PKEY_free(key); }
  std::string Pem() const {
    BIO* const out = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
    return Take(out);
  }
  static std::string Take(BIO* out) {
    char* text = nullptr;
    const long size = BIO_get_mem_data(out, &text);
    std::string taken(text, static_cast<size_t>(size));
    BIO_free(out);
    return taken;
  }
};

void Extend(X509* certificate, int what, const std::string& value) {
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, what, value.c_str());
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

// A certificate of `subject` for `names`, by `issuer`; a CA's if `names` is empty.
std::string Certify(const std::string& subject, const KeyPair& key, const std::string& issuer,
                    const KeyPair& signer, const std::string& names = "") {
  X509* const certificate = X509_new();
  X509_set_version(certificate, X509_VERSION_3);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  const auto name = [](X509_NAME* out, const std::string& text) {
    X509_NAME_add_entry_by_txt(out, "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(text.c_str()), -1, -1, 0);
  };
  name(X509_get_subject_name(certificate), subject);
  name(X509_get_issuer_name(certificate), issuer);
  X509_set_pubkey(certificate, key.key);
  if (names.empty())
    Extend(certificate, NID_basic_constraints, "critical,CA:TRUE");
  else
    Extend(certificate, NID_subject_alt_name, names);
  X509_sign(certificate, signer.key, EVP_sha256());
  BIO* const out = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(out, certificate);
  X509_free(certificate);
  return KeyPair::Take(out);
}

class TlsSiteTest : public testing::Test {
 protected:
  TlsSiteTest() { Require(ticket_keys_.Rotate()); }

  Result<std::shared_ptr<const TlsSite>> Make(const std::string& certificates,
                                              const std::string& key) {
    return TlsSite::Make({"a", 443, {"http/1.1"}, certificates, key}, ticket_keys_);
  }

  KeyPair key_, ca_key_, other_key_;
  const std::string ca_ = Certify("ca", ca_key_, "ca", ca_key_);
  const std::string leaf_ = Certify("leaf", key_, "ca", ca_key_, "DNS:a.example,DNS:*.b.example");
  TicketKeys ticket_keys_;
};

TEST_F(TlsSiteTest, TakesWhatFits) {
  const auto made = Make(leaf_ + ca_, key_.Pem());
  ASSERT_TRUE(made) << made.error().Message();
  EXPECT_TRUE((*made)->IsFor("a.example"));
  EXPECT_TRUE((*made)->IsFor("A.EXAMPLE"));
  EXPECT_TRUE((*made)->IsFor("www.b.example"));
  EXPECT_FALSE((*made)->IsFor("b.example"));
  EXPECT_FALSE((*made)->IsFor("a.www.b.example"));
  EXPECT_FALSE((*made)->IsFor("leaf"));
  EXPECT_FALSE((*made)->IsFor(std::string_view("a.example\0x", 11)));
  EXPECT_NEAR(static_cast<double>((*made)->expires_at()), static_cast<double>(::time(nullptr)),
              7200);
}

TEST_F(TlsSiteTest, RefusesWhatDoesNotFit) {
  const auto says = [&](const std::string& certificates, const std::string& key) {
    const auto made = Make(certificates, key);
    return made ? std::string("taken") : made.error().Message();
  };
  EXPECT_NE(says(leaf_, other_key_.Pem()).find("the key does not fit"), std::string::npos);
  EXPECT_NE(says("", key_.Pem()).find("no certificate"), std::string::npos);
  EXPECT_NE(says("garbage", key_.Pem()).find("no certificate"), std::string::npos);
  EXPECT_NE(says(leaf_.substr(0, leaf_.size() / 2), key_.Pem()).find("no certificate"),
            std::string::npos);
  EXPECT_NE(says(leaf_, "").find("no usable private key"), std::string::npos);
  EXPECT_NE(says(leaf_, leaf_).find("no usable private key"), std::string::npos);
  const std::string stranger = Certify("ca", other_key_, "ca", other_key_);  // of the same name
  EXPECT_NE(says(leaf_ + stranger, key_.Pem()).find("the chain does not fit"), std::string::npos);
  EXPECT_NE(says(leaf_ + leaf_, key_.Pem()).find("the chain does not fit"), std::string::npos);
  EXPECT_NE(says(leaf_ + ca_.substr(0, ca_.size() / 2), key_.Pem()).find("chain"),
            std::string::npos);
}

TEST_F(TlsSiteTest, RefusesAWeakKey) {
  EVP_PKEY* const weak = EVP_RSA_gen(1024);
  KeyPair rsa;
  std::swap(rsa.key, *const_cast<EVP_PKEY**>(&weak));
  EVP_PKEY_free(weak);
  const std::string leaf = Certify("leaf", rsa, "ca", ca_key_, "DNS:a.example");
  EXPECT_FALSE(Make(leaf, rsa.Pem()));
}

// Both ends of one connection in memory, as far as a ticket.
class Handshake {
 public:
  Handshake(const TlsPort& port, SSL_CTX* client_context, SSL_SESSION* session) {
    server_ = port.MakeServer();
    client_ = SSL_new(client_context);
    BIO *server_end = nullptr, *client_end = nullptr;
    BIO_new_bio_pair(&server_end, 0, &client_end, 0);
    SSL_set_bio(server_, server_end, server_end);
    SSL_set_bio(client_, client_end, client_end);
    SSL_set_accept_state(server_);
    SSL_set_connect_state(client_);
    if (session != nullptr) SSL_set_session(client_, session);
    char byte = 'x';
    for (int i = 0; i < 10; ++i) {
      SSL_do_handshake(client_);
      SSL_do_handshake(server_);
    }
    SSL_write(server_, &byte, 1);
    Require(SSL_read(client_, &byte, 1) == 1, "a handshake");  // and the tickets before it
  }
  Handshake(const Handshake&) = delete;
  Handshake& operator=(const Handshake&) = delete;
  ~Handshake() {
    SSL_shutdown(client_);
    SSL_free(client_);
    SSL_free(server_);
  }
  bool Resumed() const { return SSL_session_reused(server_) == 1; }
  SSL_SESSION* Session() const { return SSL_get1_session(client_); }

 private:
  SSL *server_, *client_;
};

TEST_F(TlsSiteTest, TicketsOutliveOneChangeOfKeysAndNotTwo) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsPort port;
    port.Add(*Make(leaf_, key_.Pem()));
    SSL_CTX* const client = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(client, version);
    const auto begin = [&] {
      const Handshake first(port, client, nullptr);
      EXPECT_FALSE(first.Resumed());
      return first.Session();
    };
    const auto resumes = [&](SSL_SESSION* session) {
      const bool resumed = Handshake(port, client, session).Resumed();
      SSL_SESSION_free(session);
      return resumed;
    };
    EXPECT_TRUE(resumes(begin()));
    SSL_SESSION* session = begin();
    Require(ticket_keys_.Rotate());
    EXPECT_TRUE(resumes(session));
    session = begin();
    Require(ticket_keys_.Rotate());
    Require(ticket_keys_.Rotate());
    EXPECT_FALSE(resumes(session));
    SSL_CTX_free(client);
  }
}

}  // namespace
}  // namespace bailey::netproxy
