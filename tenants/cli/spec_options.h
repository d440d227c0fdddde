// The spec on the command line: the options of create and launch, and the KEY=VALUE of set.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace CLI {
class App;
}

namespace bailey::tenants {

// {"limits.memory", "1G"}: a spec key and what the person wrote for it.
using Setting = std::pair<std::string, std::string>;

// The spec key that a person means by `name`: "limits.memory" for "memory". Empty if there is none.
std::string FullSpecKey(const std::string& name);

// "memory=1G". Throws CLI::ValidationError.
Setting ParseSetting(const std::string& text);

// Options that stand for keys of the spec. Must outlive the parsing.
class SpecOptions {
 public:
  SpecOptions();
  void AddTo(CLI::App* verb);
  // What was given, in the options' order. Throws CLI::ValidationError.
  std::vector<Setting> Settings() const;

 private:
  std::vector<std::string> values_;              // one for each of kSpecOptions
  std::vector<std::vector<std::string>> rules_;  // one for each of kRuleOptions
  std::vector<std::string> allow_;
};

}  // namespace bailey::tenants
