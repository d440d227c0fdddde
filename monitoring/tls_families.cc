// What a tenant's bailey-tls counts. Nothing of it is there without certificates.
#include "monitoring/families.h"

namespace bailey::monitoring {
namespace {

using enum prometheus::MetricType;
using Row = FamilyRow<TenantSample>;

template <TlsCounter counter>
void Fill(const TenantSample& tenant, SeriesWriter& series) {
  if (tenant.tls) series.Add((*tenant.tls)[counter]);
}

void FillHandshakes(const TenantSample& tenant, SeriesWriter& series) {
  if (!tenant.tls) return;
  const uint64_t resumed = (*tenant.tls)[TlsCounter::kResumed];
  series.Add("outcome", "full", (*tenant.tls)[TlsCounter::kHandshakes] - resumed);
  series.Add("outcome", "resumed", resumed);
  series.Add("outcome", "failed", (*tenant.tls)[TlsCounter::kFailedHandshakes]);
}

void FillExpiry(const TenantSample& tenant, SeriesWriter& series) {
  if (tenant.tls && (*tenant.tls)[TlsCounter::kCertificates] > 0)
    series.Add((*tenant.tls)[TlsCounter::kEarliestExpiry]);
}

constexpr Row kTlsRows[] = {
    {"bailey_tenant_tls_handshakes_total", Counter, "TLS handshakes, by outcome.", FillHandshakes},
    {"bailey_tenant_tls_open_connections", Gauge, "TLS connections open now.",
     Fill<TlsCounter::kOpenConnections>},
    {"bailey_tenant_tls_certificates", Gauge, "Certificates that a tenant's TLS serves.",
     Fill<TlsCounter::kCertificates>},
    {"bailey_tenant_tls_certificate_expiry_time_seconds", Gauge,
     "Unix time at which the first of these certificates expires.", FillExpiry},
    {"bailey_tenant_tls_refused_certificates_total", Counter,
     "Certificates whose files were not taken, at the start or when they had changed.",
     Fill<TlsCounter::kRefusedFiles>},
};

}  // namespace

std::span<const Row> TlsFamilies() { return kTlsRows; }

}  // namespace bailey::monitoring
