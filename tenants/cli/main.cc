// bailey: the command line. It holds no privileges and no state: everything is asked of baileyd.
#include <string>
#include <variant>
#include <vector>

#include "base/files.h"
#include "base/log.h"
#include "tenants/cli/commands.h"
#include "tenants/cli/console.h"

namespace {

int RunMain(const std::vector<std::string>& argv) {
  using namespace bailey::tenants;
  const auto parsed = ParseCommandLine(argv);
  if (const auto* end = std::get_if<ParseEnd>(&parsed)) {
    [[maybe_unused]] const bailey::Status said =
        bailey::WriteAll(end->exit == 0 ? 1 : 2, end->text);
    return end->exit;
  }
  const auto& invocation = std::get<Invocation>(parsed);
  const Context context{ApiClient::FromEnvironment(), invocation.format, invocation.format_given};
  return std::visit([&](const auto& command) { return Run(context, command); }, invocation.command);
}

}  // namespace

int main(int argc, char** argv) {
  bailey::SetLogName("bailey");
  try {
    return RunMain({argv, argv + argc});
  } catch (const std::exception& failure) {
    bailey::LogError(failure.what());
    return static_cast<int>(bailey::tenants::ExitCode::kFailed);
  }
}
