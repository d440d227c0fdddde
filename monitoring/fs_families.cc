// What a tenant's file server counts.
#include "monitoring/families.h"

namespace bailey::monitoring {
namespace {

using enum prometheus::MetricType;
using Row = FamilyRow<TenantSample>;

template <FsCounter counter>
void Fill(const TenantSample& tenant, SeriesWriter& series) {
  if (tenant.fs) series.Add((*tenant.fs)[counter]);
}

struct Kind {
  FsCounter counter;
  const char* name;
};
constexpr Kind kKinds[] = {
    {FsCounter::kLookups, "lookup"},     {FsCounter::kOpens, "open"},
    {FsCounter::kCreates, "create"},     {FsCounter::kReads, "read"},
    {FsCounter::kWrites, "write"},       {FsCounter::kReaddirs, "readdir"},
    {FsCounter::kGetattrs, "getattr"},   {FsCounter::kSetattrs, "setattr"},
    {FsCounter::kMutations, "mutation"},
};

void FillOperations(const TenantSample& tenant, SeriesWriter& series) {
  if (!tenant.fs) return;
  for (const Kind& kind : kKinds) series.Add("kind", kind.name, (*tenant.fs)[kind.counter]);
}

constexpr Row kFsRows[] = {
    {"bailey_tenant_fs_requests_total", Counter, "Requests that reached a tenant's file server.",
     Fill<FsCounter::kRequests>},
    {"bailey_tenant_fs_operations_total", Counter,
     "Requests by kind; kinds without a row are only in bailey_tenant_fs_requests_total.",
     FillOperations},
    {"bailey_tenant_fs_errors_total", Counter,
     "Requests answered with an error of the file server or its disk.", Fill<FsCounter::kErrors>},
    {"bailey_tenant_fs_denied_total", Counter, "Requests that the file server's policy refused.",
     Fill<FsCounter::kDenied>},
    {"bailey_tenant_fs_copy_ups_total", Counter,
     "Files of the template copied into a tenant's own layer.", Fill<FsCounter::kCopyUps>},
    {"bailey_tenant_fs_copy_up_bytes_total", Counter, "Bytes copied by copy-ups.",
     Fill<FsCounter::kCopyUpBytes>},
    {"bailey_tenant_fs_passthrough_opens_total", Counter,
     "Opens whose data goes straight to the backing file.", Fill<FsCounter::kPassthroughOpens>},
    {"bailey_tenant_fs_open_files", Gauge, "Files that a tenant has open on its root.",
     Fill<FsCounter::kOpenFiles>},
    {"bailey_tenant_fs_nodes", Gauge, "Inodes of a tenant's root that the kernel remembers.",
     Fill<FsCounter::kNodes>},
};

}  // namespace

std::span<const Row> FsFamilies() { return kFsRows; }

}  // namespace bailey::monitoring
