// What debootstrap says under --debian-installer, as one percentage and a line of text.
//
//   P: 12 94 DOWNDEBS        how far it is in this phase
//   PF: Downloading packages
//   I: RETRIEVING / IA: dpkg / IA: 1.21 / IF: Retrieving %s %s     and E: W: alike
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace bailey::tenants {

class DebootstrapProgress {
 public:
  using Report = std::function<void(std::string_view text, int percent)>;
  explicit DebootstrapProgress(Report report) : report_(std::move(report)) {}

  void Line(std::string_view line);
  // Its errors and warnings so far, each after "; ".
  const std::string& Problems() const { return problems_; }

 private:
  void Phase(std::string_view rest);
  std::string Formatted(std::string_view format) const;

  Report report_;
  std::string text_ = "Starting debootstrap";
  std::string problems_;
  std::vector<std::string> arguments_;
  int percent_ = 0;
};

}  // namespace bailey::tenants
