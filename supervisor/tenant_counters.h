// TenantCounters: the pages of one tenant: what its file server, its proxy, its supervisor and its
// bailey-tls count, and which of its ports are published.
#pragma once

#include "base/counters.h"
#include "base/published_page.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace bailey::supervisor {

struct TenantCounters {
  UniqueFd fs, net, own, tls;
  CounterMapping<SupervisorCounter> own_page;
  PublishedPage published;

  static Result<TenantCounters> Make();
};

}  // namespace bailey::supervisor
