#include "monitoring/exposition.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <sstream>
#include <utility>
#include <vector>

#include "monitoring/families.h"

namespace bailey::monitoring {
namespace {

// One family at a time: a page of 70,000 series never stands in memory as objects, only as text.
class Page {
 public:
  template <class Sample>
  void Write(const FamilyRow<Sample>& row, std::span<const Sample> samples) {
    prometheus::MetricFamily& family = one_.front();
    family.name = row.name;
    family.help = row.help;
    family.type = row.type;
    family.metric.clear();
    SeriesWriter series(family);
    for (const Sample& sample : samples) {
      if constexpr (requires { sample.name; }) series.SetTenant(sample.name);
      row.fill(sample, series);
    }
    if (!family.metric.empty()) serializer_.Serialize(text_, one_);
  }
  std::string Take() && { return std::move(text_).str(); }

 private:
  std::vector<prometheus::MetricFamily> one_{1};
  prometheus::TextSerializer serializer_;
  std::ostringstream text_;
};

}  // namespace

void SeriesWriter::Add(double value) { Append(value); }

void SeriesWriter::Add(std::string_view label, std::string_view label_value, double value) {
  Append(value).label.push_back({std::string(label), std::string(label_value)});
}

void SeriesWriter::AddLabelled(std::vector<prometheus::ClientMetric::Label> labels, double value) {
  auto& own = Append(value).label;
  own.insert(own.end(), std::make_move_iterator(labels.begin()),
             std::make_move_iterator(labels.end()));
}

prometheus::ClientMetric& SeriesWriter::Append(double value) {
  prometheus::ClientMetric& metric = family_.metric.emplace_back();
  if (!tenant_.empty()) {
    metric.label.reserve(2);
    metric.label.push_back({"tenant", std::string(tenant_)});
  }
  if (family_.type == prometheus::MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  return metric;
}

std::string FormatFleet(const FleetSample& fleet) {
  Page page;
  for (const auto& row : FleetFamilies()) page.Write(row, std::span(&fleet, 1));
  const std::span<const TenantSample> tenants(fleet.tenants);
  for (const auto rows :
       {LifeFamilies(), ResourceFamilies(), FsFamilies(), NetFamilies(), TlsFamilies()}) {
    for (const auto& row : rows) page.Write(row, tenants);
  }
  return std::move(page).Take();
}

}  // namespace bailey::monitoring
