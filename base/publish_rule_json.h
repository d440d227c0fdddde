// PublishRule in JSON, for whoever links Boost.JSON: a number for one port of TCP's, else text.
#pragma once

#include <boost/json.hpp>

#include "base/publish_rule.h"

namespace bailey {

inline Result<PublishRule> PublishRuleFromJson(const boost::json::value& value) {
  if (const auto* text = value.if_string()) return PublishRule::Parse({text->data(), text->size()});
  boost::json::error_code failed;
  const auto port = value.to_number<uint16_t>(failed);
  if (failed || value.is_double() || port == 0)
    return Invalid("not a port: " + boost::json::serialize(value), "ports are 1 to 65535");
  return PublishRule(port);
}

// nullopt for what is no list of rules.
inline std::optional<std::vector<PublishRule>> PublishRulesFromJson(
    const boost::json::value& value) {
  const auto* list = value.if_array();
  if (list == nullptr) return std::nullopt;
  std::vector<PublishRule> rules;
  for (const boost::json::value& item : *list) {
    const auto rule = PublishRuleFromJson(item);
    if (!rule) return std::nullopt;
    rules.push_back(*rule);
  }
  return rules;
}

inline boost::json::value ToJson(const PublishRule& rule) {
  if (rule.transport == Transport::kTcp && rule.first == rule.last) return rule.first;
  return boost::json::string(rule.ToString());
}

inline boost::json::array ToJson(const std::vector<PublishRule>& rules) {
  boost::json::array list;
  for (const PublishRule& rule : rules) list.push_back(ToJson(rule));
  return list;
}

}  // namespace bailey
