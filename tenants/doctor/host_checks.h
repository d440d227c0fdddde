// Is this host fit for tenants? Every check looks at the kernel itself, by trying, and says how to
// get what lacks. Nothing is changed, and no daemon is needed.
#pragma once

#include <string>
#include <vector>

namespace bailey::tenants {

enum class CheckResult { kOk, kWarning, kMissing };
const char* CheckResultName(CheckResult result);  // "ok", "warning", "missing"

struct HostCheck {
  std::string name;
  CheckResult result = CheckResult::kOk;
  std::string found;  // what is there
  std::string hint;   // how to get what lacks; empty when nothing does
};

struct HostPlaces {
  std::string programs;  // the directory of Bailey's programs
  std::string state;     // $BAILEY_STATE_DIR, may not exist yet
  std::string runtime;   // $BAILEY_RUNTIME_DIR
};

// All checks, in the order in which they are to be read. Needs root for the most telling ones;
// without it those say so. Forks children for whatever leaves traces in a process.
std::vector<HostCheck> ExamineHost(const HostPlaces& places);

// The groups of checks, each in its own file.
std::vector<HostCheck> CheckKernel();
std::vector<HostCheck> CheckFuse();
std::vector<HostCheck> CheckBpf();
std::vector<HostCheck> CheckNetwork();
std::vector<HostCheck> CheckCgroups();
std::vector<HostCheck> CheckNamespaces();
std::vector<HostCheck> CheckPrograms(const HostPlaces& places);
std::vector<HostCheck> CheckStorage(const HostPlaces& places);
std::vector<HostCheck> CheckDisks();

// "6.12.9-amd64" → is it at least 6.12? Pure.
bool IsAtLeastRelease(const std::string& release, int major, int minor);

}  // namespace bailey::tenants
