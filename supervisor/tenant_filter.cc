#include "supervisor/tenant_filter.h"

#include <linux/seccomp.h>
#include <seccomp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "supervisor/syscall_table.h"

namespace bailey::supervisor {
namespace {

using Context = std::unique_ptr<void, decltype(&seccomp_release)>;

Result<Context> NewFilter(uint32_t otherwise) {
  Context context(seccomp_init(otherwise), seccomp_release);
  if (context == nullptr) return Errno("seccomp_init", ENOMEM);
  // 32-bit calls number and pack their arguments otherwise: socketcall's family cannot be seen.
  if (seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) != 0 ||
      seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_NNP, 0) != 0 ||
      seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2) != 0)
    return Errno("seccomp_attr_set", EINVAL);
  return context;
}

Status AllowKnown(scmp_filter_ctx context, const char* name) {
  const int number = CallNumber(name);
  if (number < 0) return {};  // a call of other architectures
  const int error = seccomp_rule_add(context, SCMP_ACT_ALLOW, number, 0);
  // Known already: rows for different arguments name the same call.
  if (error != 0 && error != -EEXIST) return Errno(std::string("allow ") + name, -error);
  return {};
}

Status Deny(scmp_filter_ctx context, const DeniedCall& row) {
  const int number = CallNumber(row.name);
  if (number < 0) return {};
  std::vector<scmp_arg_cmp> tests;
  for (const ArgumentTest& test : row.tests)
    tests.push_back({test.index, SCMP_CMP_MASKED_EQ, test.mask, test.value});
  const int error = seccomp_rule_add_array(context, SCMP_ACT_NOTIFY, number,
                                           static_cast<unsigned>(tests.size()), tests.data());
  if (error != 0) return Errno(std::string("deny ") + row.name, -error);
  return {};
}

}  // namespace

Result<TenantFilter> TenantFilter::Compile(const Allow& allow) {
  const std::vector<DeniedCall> rows = DeniedCalls(allow);
  auto known = NewFilter(SCMP_ACT_ERRNO(ENOSYS));
  auto denied = NewFilter(SCMP_ACT_ALLOW);
  if (!known) return known.error();
  if (!denied) return denied.error();
  for (const CallGroup& group : KnownCalls())
    for (const char* name : group.names) BAILEY_TRY(AllowKnown(known->get(), name));
  for (const DeniedCall& row : rows) {
    BAILEY_TRY(AllowKnown(known->get(), row.name));
    BAILEY_TRY(Deny(denied->get(), row));
  }
  auto known_program = SeccompProgram::Compile(known->get());
  if (!known_program) return known_program.error();
  auto denied_program = SeccompProgram::Compile(denied->get());
  if (!denied_program) return denied_program.error();
  TenantFilter filter;
  filter.known_ = std::move(*known_program);
  filter.denied_ = std::move(*denied_program);
  for (const DeniedCall& row : rows) filter.rows_[CallNumber(row.name)].push_back(row);
  return filter;
}

const DeniedCall* TenantFilter::Reason(const seccomp_data& call) const {
  const auto rows = rows_.find(call.nr);
  if (rows == rows_.end()) return nullptr;
  std::array<uint64_t, 6> args{};
  std::copy(std::begin(call.args), std::end(call.args), args.begin());
  for (const DeniedCall& row : rows->second)
    if (Matches(row, args)) return &row;
  return nullptr;
}

int TenantFilter::Load() const {
  if (known_.Load(0) != 0) return -1;
  // WAIT_KILLABLE: a signal does not break off a call that the supervisor has already read.
  return denied_.Load(SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
}

}  // namespace bailey::supervisor
