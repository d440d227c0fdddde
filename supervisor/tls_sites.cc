#include "supervisor/tls_sites.h"

#include <algorithm>

namespace bailey::supervisor {
namespace {

namespace json = boost::json;

constexpr const char* kHint =
    R"(a list: [{port = 443, certificate = "/etc/acme/fullchain.pem", key = "/etc/acme/privkey.pem"}])";
constexpr size_t kMostProtocols = 8;

bool IsPath(const json::value& value) {
  const json::string* text = value.if_string();
  return text != nullptr && text->size() > 1 && text->size() < 4096 && text->front() == '/' &&
         text->find('\0') == json::string::npos;
}

// RFC 7301: 1 to 255 bytes. Those that are registered are visible ASCII.
bool IsProtocol(const json::value& value) {
  const json::string* text = value.if_string();
  return text != nullptr && !text->empty() && text->size() <= 255 &&
         std::all_of(text->begin(), text->end(), [](char c) { return c > ' ' && c < 127; });
}

Status ReadProtocols(const json::value& value, std::vector<std::string>& out) {
  const json::array* list = value.if_array();
  if (list == nullptr || list->empty() || list->size() > kMostProtocols ||
      !std::all_of(list->begin(), list->end(), IsProtocol))
    return Invalid("alpn is no list of protocols",
                   R"(what the tenant speaks there, the best first: ["h2", "http/1.1"])");
  out.clear();
  for (const json::value& protocol : *list) out.emplace_back(protocol.get_string().c_str());
  return {};
}

Status ReadMember(std::string_view name, const json::value& value, TlsSite& site) {
  if (name == "port") {
    json::error_code failed;
    site.port = value.to_number<uint16_t>(failed);
    if (failed || site.port == 0) return Invalid("port is none", "ports are 1 to 65535");
    return {};
  }
  if (name == "alpn") return ReadProtocols(value, site.alpn);
  if (name != "certificate" && name != "key")
    return Invalid("unknown key " + std::string(name.substr(0, 40)),
                   "there are: port, certificate, key, alpn");
  if (!IsPath(value))
    return Invalid(std::string(name) + " is no absolute path", "a PEM file of the host's");
  (name == "key" ? site.key : site.certificate) = value.get_string().c_str();
  return {};
}

Result<TlsSite> ReadSite(const json::value& value) {
  const json::object* object = value.if_object();
  if (object == nullptr) return Invalid("not a site", kHint);
  TlsSite site;
  for (const auto& member : *object)
    BAILEY_TRY(ReadMember({member.key().data(), member.key().size()}, member.value(), site));
  if (site.certificate.empty() || site.key.empty())
    return Invalid("certificate or key is missing", kHint);
  return site;
}

}  // namespace

Result<std::vector<TlsSite>> TlsSitesFromJson(const json::value& value) {
  const json::array* list = value.if_array();
  if (list == nullptr) return Invalid("not a list of sites", kHint);
  if (list->size() > kMaxTlsSites)
    return Invalid("too many sites", "at most " + std::to_string(kMaxTlsSites));
  std::vector<TlsSite> sites;
  for (const json::value& item : *list) {
    auto site = ReadSite(item);
    if (!site) return site.error();
    const auto same = [&](const TlsSite& other) {
      return other.port == site->port && other.certificate == site->certificate;
    };
    if (std::ranges::any_of(sites, same))
      return Invalid("a certificate is there twice for one port", "leave one of them out");
    sites.push_back(std::move(*site));
  }
  return sites;
}

json::array ToJson(const std::vector<TlsSite>& sites) {
  json::array list;
  for (const TlsSite& site : sites)
    list.push_back(json::object{{"port", site.port},
                                {"certificate", site.certificate},
                                {"key", site.key},
                                {"alpn", json::array(site.alpn.begin(), site.alpn.end())}});
  return list;
}

}  // namespace bailey::supervisor
