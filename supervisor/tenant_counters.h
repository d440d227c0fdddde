// TenantCounters: the pages of one tenant: of its file server, its proxy, its supervisor, and its
// bailey-tls.
#pragma once

#include "base/counters.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey::supervisor {

struct TenantCounters {
  UniqueFd fs, net, own, tls;
  CounterMapping<SupervisorCounter> own_page;

  static Result<TenantCounters> Make();
};

}  // namespace bailey::supervisor
