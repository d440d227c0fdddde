#include "supervisor/tenant_counters.h"

#include <utility>

namespace bailey::supervisor {

Result<TenantCounters> TenantCounters::Make() {
  TenantCounters counters;
  for (auto [fd, name] : {std::pair{&counters.fs, "bailey-fs"},
                          {&counters.net, "bailey-netproxy"},
                          {&counters.own, "bailey-supervisor"},
                          {&counters.tls, "bailey-tls"}}) {
    auto made = MakeCounterMemory(name);
    if (!made) return made.error();
    *fd = std::move(*made);
  }
  auto page = CounterMapping<SupervisorCounter>::Map(counters.own.get(), /*writable=*/true);
  if (!page) return page.error();
  counters.own_page = std::move(*page);
  auto published = PublishedPage::Make();
  if (!published) return published.error();
  counters.published = std::move(*published);
  return counters;
}

}  // namespace bailey::supervisor
