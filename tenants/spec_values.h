// The types of the spec's values: each reads itself from JSON, checks, and writes itself back in
// the form that a person would have written. Errors say what is wrong and how to write it.
#pragma once

#include <boost/json.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/ip_address.h"
#include "base/result.h"
#include "tenants/spec.h"

namespace bailey::tenants {

template <class T>
struct SpecValue {
  using Type = T;
};

struct TextValue : SpecValue<std::string> {
  static Result<std::string> Read(const boost::json::value& value);
  static boost::json::value Write(const std::string& text);
};
struct TenantNameValue : TextValue {
  static Result<std::string> Read(const boost::json::value& value);
};
struct TemplateNameValue : TextValue {
  static Result<std::string> Read(const boost::json::value& value);
};
struct PlanNameValue : TextValue {
  static Result<std::string> Read(const boost::json::value& value);
};
struct HostnameValue : TextValue {
  static Result<std::string> Read(const boost::json::value& value);
};
// An address that a host can have and that is not everybody's (loopback's own, link-local, …).
struct IpValue : SpecValue<IpAddress> {
  static Result<IpAddress> Read(const boost::json::value& value);
  static boost::json::value Write(const IpAddress& ip);
};
struct CommandValue : SpecValue<std::vector<std::string>> {
  static Result<std::vector<std::string>> Read(const boost::json::value& value);
  static boost::json::value Write(const std::vector<std::string>& argv);
};
struct EnvironmentValue : SpecValue<std::map<std::string, std::string>> {
  static Result<std::map<std::string, std::string>> Read(const boost::json::value& value);
  static boost::json::value Write(const std::map<std::string, std::string>& env);
};
struct RestartValue : SpecValue<supervisor::RestartPolicy> {
  static Result<supervisor::RestartPolicy> Read(const boost::json::value& value);
  static boost::json::value Write(supervisor::RestartPolicy policy);
};
struct StopTimeoutValue : SpecValue<std::chrono::milliseconds> {
  static Result<std::chrono::milliseconds> Read(const boost::json::value& value);
  static boost::json::value Write(std::chrono::milliseconds timeout);
};
// Limits: a figure, or "none" (0), which lifts what the plan says.
struct CoresValue : SpecValue<double> {
  static Result<double> Read(const boost::json::value& value);
  static boost::json::value Write(double cores);
};
struct MemoryValue : SpecValue<uint64_t> {
  static Result<uint64_t> Read(const boost::json::value& value);
  static boost::json::value Write(uint64_t bytes);
};
struct DiskValue : MemoryValue {
  static Result<uint64_t> Read(const boost::json::value& value);
};
struct PidsValue : SpecValue<uint64_t> {
  static Result<uint64_t> Read(const boost::json::value& value);
  static boost::json::value Write(uint64_t count);
};
struct ConnectionsValue : PidsValue {
  static Result<uint64_t> Read(const boost::json::value& value);
};
struct BandwidthValue : MemoryValue {  // bytes a second
  static Result<uint64_t> Read(const boost::json::value& value);
};
struct IdleTimeoutValue : SpecValue<std::chrono::milliseconds> {
  static Result<std::chrono::milliseconds> Read(const boost::json::value& value);
  static boost::json::value Write(std::chrono::milliseconds timeout);
};
struct PublishValue : SpecValue<Publish> {
  static Result<Publish> Read(const boost::json::value& value);
  static boost::json::value Write(const Publish& publish);
};
struct TlsValue : SpecValue<std::vector<supervisor::TlsSite>> {
  static Result<std::vector<supervisor::TlsSite>> Read(const boost::json::value& value);
  static boost::json::value Write(const std::vector<supervisor::TlsSite>& sites);
};
struct VerdictValue : SpecValue<bool> {  // "allow" or "deny"
  static Result<bool> Read(const boost::json::value& value);
  static boost::json::value Write(bool allowed);
};
struct RulesValue : SpecValue<std::vector<EgressRule>> {
  static Result<std::vector<EgressRule>> Read(const boost::json::value& value);
  static boost::json::value Write(const std::vector<EgressRule>& rules);
};
struct FlagValue : SpecValue<bool> {
  static Result<bool> Read(const boost::json::value& value);
  static boost::json::value Write(bool flag);
};

// For JSON made by others: bytes in quotes, shortened, so that an error stays one line.
std::string Shown(const boost::json::value& value);

}  // namespace bailey::tenants
