// The catalogue of metric families: one row per family with its name, type, help and how a sample
// fills it. exposition.cc walks it; docs/METRICS.md is held against the page it makes.
//
// Naming follows https://prometheus.io/docs/practices/naming: prefix bailey_, base units in the
// name, _total on counters. Labels beside `tenant` have few, fixed values.
#pragma once

#include <prometheus/metric_family.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "monitoring/exposition.h"

namespace bailey::monitoring {

// Adds the series of one family. For the families of a tenant every series gets its name first.
class SeriesWriter {
 public:
  explicit SeriesWriter(prometheus::MetricFamily& family) : family_(family) {}
  // The `tenant` label of what follows; "" for none.
  void SetTenant(std::string_view name) { tenant_ = name; }
  void Add(double value);
  void Add(uint64_t value) { Add(static_cast<double>(value)); }
  void Add(std::string_view label, std::string_view label_value, double value);
  void Add(std::string_view label, std::string_view label_value, uint64_t value) {
    Add(label, label_value, static_cast<double>(value));
  }
  // A series of several labels, for the info families.
  void AddLabelled(std::vector<prometheus::ClientMetric::Label> labels, double value);

 private:
  prometheus::ClientMetric& Append(double value);

  prometheus::MetricFamily& family_;
  std::string_view tenant_;
};

template <class Sample>
struct FamilyRow {
  const char* name;
  prometheus::MetricType type;
  const char* help;
  void (*fill)(const Sample& sample, SeriesWriter& series);
};

// What the proxy refuses by policy: the rows of bailey_tenant_net_refused_total, whose sum is the
// layer "net" of bailey_tenant_denials_total.
struct RefusalReason {
  NetCounter counter;
  const char* label;
};
std::span<const RefusalReason> RefusalReasons();

std::span<const FamilyRow<FleetSample>> FleetFamilies();
// In the order of the page.
std::span<const FamilyRow<TenantSample>> LifeFamilies();
std::span<const FamilyRow<TenantSample>> ResourceFamilies();
std::span<const FamilyRow<TenantSample>> FsFamilies();
std::span<const FamilyRow<TenantSample>> NetFamilies();
std::span<const FamilyRow<TenantSample>> TlsFamilies();

}  // namespace bailey::monitoring
