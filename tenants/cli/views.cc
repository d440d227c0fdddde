#include "tenants/cli/views.h"

#include <array>
#include <cstdio>

#include "base/units.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

const json::value* Member(const json::object& item, std::string_view path) {
  const size_t dot = path.find('.');
  const json::value* value = item.if_contains(path.substr(0, dot));
  if (dot == std::string_view::npos || value == nullptr) return value;
  return value->is_object() ? Member(value->get_object(), path.substr(dot + 1)) : nullptr;
}

Column Plain(std::string title, std::string path) {
  return {std::move(title),
          [path = std::move(path)](const json::object& item) { return MemberText(item, path); }};
}

bool Runs(const json::object& item) { return MemberText(item, "state") == "running"; }

std::string OfLimit(std::string used, std::string limit) {
  return limit.empty() ? std::move(used) : std::move(used) + "/" + std::move(limit);
}

std::string CpuText(const json::object& item) {
  if (!Runs(item)) return {};
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2fs", MemberNumber(item, "usage.cpuSeconds"));
  return text.data();
}

std::string SizeText(double bytes) {
  return bytes <= 0 ? std::string() : FormatSize(static_cast<uint64_t>(bytes));
}

// Three digits say enough: 5.2M, 34M, 512M.
std::string RoundSize(double bytes) {
  constexpr std::array<char, 5> kUnits = {'B', 'K', 'M', 'G', 'T'};
  size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < kUnits.size(); ++unit) bytes /= 1024;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), bytes < 10 && unit > 0 ? "%.1f%c" : "%.0f%c", bytes,
                kUnits[unit]);
  return text.data();
}

std::string MemoryText(const json::object& item) {
  const std::string limit = SizeText(MemberNumber(item, "limits.memory"));
  if (!Runs(item)) return limit.empty() ? limit : "-/" + limit;
  return OfLimit(RoundSize(MemberNumber(item, "usage.memoryBytes")), limit);
}

std::string TasksText(const json::object& item) {
  const double most = MemberNumber(item, "limits.pids");
  const std::string limit = most > 0 ? std::to_string(static_cast<uint64_t>(most)) : std::string();
  if (!Runs(item)) return limit.empty() ? limit : "-/" + limit;
  return OfLimit(MemberText(item, "usage.tasks"), limit);
}

std::string DiskText(const json::object& item) {
  const std::string limit = SizeText(MemberNumber(item, "limits.disk"));
  const double used = MemberNumber(item, "usage.diskBytes");
  if (used <= 0) return limit.empty() ? limit : "-/" + limit;
  return OfLimit(RoundSize(used), limit);
}

std::string PortsText(const json::object& item) {
  const json::value* ports = Member(item, "published");
  std::string text;
  if (ports == nullptr || !ports->is_array()) return text;
  for (const json::value& port : ports->get_array())
    text += (text.empty() ? "" : ",") +
            (port.is_string() ? std::string(port.get_string()) : json::serialize(port));
  return text;
}

// Below a bound that was reached there is more.
std::string LayerSize(const json::object& layer) {
  const json::value* bytes = Member(layer, "bytes");
  if (bytes == nullptr || bytes->is_null()) return {};
  return (MemberText(layer, "complete") == "false" ? ">" : "") +
         RoundSize(MemberNumber(layer, "bytes"));
}

// "upper:1.2M template:4.0M", the topmost first.
std::string LayersText(const json::object& item) {
  const json::value* layers = Member(item, "layers");
  std::string text;
  if (layers == nullptr || !layers->is_array()) return text;
  for (const json::value& layer : layers->get_array()) {
    const std::string size = LayerSize(layer.as_object());
    text += (text.empty() ? "" : " ") + MemberText(layer.as_object(), "kind") + ":" +
            (size.empty() ? "-" : size);
  }
  return text;
}

}  // namespace

std::string MemberText(const json::object& item, std::string_view path) {
  const json::value* value = Member(item, path);
  if (value == nullptr || value->is_null()) return {};
  if (value->is_string()) return {value->get_string().data(), value->get_string().size()};
  return ScalarText(*value);
}

double MemberNumber(const json::object& item, std::string_view path) {
  const json::value* value = Member(item, path);
  if (value == nullptr) return 0;
  // A limit may be shown as it was written: "512M".
  if (value->is_string()) {
    const auto size = ParseSize(std::string_view(value->get_string()));
    return size ? static_cast<double>(*size) : 0;
  }
  json::error_code failed;
  const double number = value->to_number<double>(failed);
  return failed ? 0 : number;
}

const View& TenantView() {
  static const View view{"Tenant",
                         {Plain("NAME", "name"),
                          Plain("STATE", "state"),
                          Plain("IP", "ip"),
                          Plain("TEMPLATE", "template"),
                          {"CPU", CpuText},
                          {"MEM", MemoryText},
                          {"TASKS", TasksText},
                          {"DISK", DiskText},
                          {"PORTS", PortsText}}};
  return view;
}

const View& TemplateView() {
  static const View view{
      "Template",
      {Plain("NAME", "name"), Plain("GENERATION", "generation"), Plain("KIND", "kind"),
       Plain("CREATED", "created"), Plain("SOURCE", "source")}};
  return view;
}

const View& EventView() {
  static const View view{"Event",
                         {Plain("TIME", "time"), Plain("TENANT", "tenant"), Plain("KIND", "kind"),
                          Plain("TEXT", "text")}};
  return view;
}

const View& CheckView() {
  static const View view{"Check",
                         {Plain("CHECK", "name"), Plain("RESULT", "result"),
                          Plain("FOUND", "found"), Plain("HINT", "hint")}};
  return view;
}

const View& FileSystemView() {
  static const View view{"FileSystem",
                         {Plain("NAME", "name"),
                          Plain("STATE", "state"),
                          {"LAYERS", [](const json::object& item) { return LayersText(item); }},
                          Plain("COPY-UPS", "counters.copyUps"),
                          Plain("COPIED", "counters.copyUpBytes"),
                          Plain("OPEN-FILES", "counters.openFiles"),
                          Plain("NODES", "counters.nodes"),
                          Plain("PASSTHROUGH-OPENS", "counters.passthroughOpens"),
                          Plain("DENIED", "counters.denied")}};
  return view;
}

const View& LayerView() {
  static const View view{"Layer",
                         {Plain("LAYER", "kind"),
                          Plain("NAME", "name"),
                          {"SIZE", LayerSize},
                          Plain("INODES", "inodes"),
                          Plain("MEASURED", "measuredAt"),
                          Plain("PATH", "path")}};
  return view;
}

std::string FileSystemText(const json::object& item) {
  std::string text = "name:  " + Printable(MemberText(item, "name")) +
                     "\nstate: " + Printable(MemberText(item, "state")) + "\n\n";
  const json::value* layers = Member(item, "layers");
  if (layers != nullptr && layers->is_array())
    text += Render(OutputFormat::kTable, LayerView(), layers->get_array());
  const json::value* counters = Member(item, "counters");
  if (counters != nullptr && counters->is_object())
    text += "\n" + RenderDetail(counters->get_object());
  return text;
}

const View& AttemptView() {
  static const View view{
      "Attempt",
      {Plain("WALL", "wall"), Plain("ATTEMPT", "attempt"), Plain("EXPECTED", "expected"),
       Plain("GOT", "got"), Plain("RESULT", "result")}};
  return view;
}

}  // namespace bailey::tenants
