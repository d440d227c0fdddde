#include "tenants/templates/debootstrap_progress.h"

#include <algorithm>
#include <array>
#include <sstream>

namespace bailey::tenants {
namespace {

// The share of the whole that a phase takes, from runs of minbase over a fast and a slow mirror.
struct PhaseShare {
  std::string_view name;
  int from, to;
};
constexpr auto kPhases = std::to_array<PhaseShare>({
    {"DOWNREL", 0, 1},
    {"DOWNRELSIG", 1, 2},
    {"DOWNPKGS", 2, 8},
    {"DOWNMAINPKGS", 2, 8},
    {"SIZEDEBS", 8, 10},
    {"DOWNDEBS", 10, 45},
    {"EXTRACTPKGS", 45, 55},
    {"INSTCORE", 55, 62},
    {"UNPACKREQ", 62, 72},
    {"CONFREQ", 72, 82},
    {"UNPACKBASE", 82, 89},
    {"CONFBASE", 89, 96},
});

bool Take(std::string_view* line, std::string_view prefix) {
  if (!line->starts_with(prefix)) return false;
  line->remove_prefix(prefix.size());
  return true;
}

}  // namespace

void DebootstrapProgress::Phase(std::string_view rest) {
  std::istringstream stream{std::string(rest)};
  long now = 0;
  long end = 0;
  std::string name;
  if (!(stream >> now >> end >> name) || end <= 0) return;
  const auto phase = std::ranges::find(kPhases, std::string_view(name), &PhaseShare::name);
  if (phase == kPhases.end()) return;
  const long done = phase->from + (phase->to - phase->from) * std::clamp(now, 0L, end) / end;
  // Phases may come in another order for another suite: never go back.
  percent_ = std::max(percent_, static_cast<int>(done));
}

std::string DebootstrapProgress::Formatted(std::string_view format) const {
  std::string text;
  size_t next = 0;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] == '%' && i + 1 < format.size() && format[i + 1] == 's') {
      if (next < arguments_.size()) text += arguments_[next++];
      ++i;
    } else {
      text += format[i];
    }
  }
  return text;
}

void DebootstrapProgress::Line(std::string_view line) {
  if (Take(&line, "P: ")) {
    Phase(line);
    arguments_.clear();
  } else if (Take(&line, "I: ") || Take(&line, "W: ") || Take(&line, "E: ")) {
    arguments_.clear();
  } else if (Take(&line, "IA: ") || Take(&line, "WA: ") || Take(&line, "EA: ") ||
             Take(&line, "PA: ")) {
    arguments_.emplace_back(line);
  } else if (Take(&line, "EF: ")) {
    problems_ += "; " + Formatted(line);
  } else if (Take(&line, "IF: ") || Take(&line, "PF: ") || Take(&line, "WF: ")) {
    text_ = Formatted(line);
    report_(text_, percent_);
  }
}

}  // namespace bailey::tenants
