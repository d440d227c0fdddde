#include "tenants/cli/console.h"

#include <unistd.h>

#include <boost/json.hpp>

#include "base/files.h"

namespace bailey::tenants {

void PrintData(std::string_view text) {
  // A reader that has gone is not our failure: bailey ls | head.
  [[maybe_unused]] const Status written = WriteAll(STDOUT_FILENO, text);
}

void PrintMessage(std::string_view text) {
  [[maybe_unused]] const Status written = WriteAll(STDERR_FILENO, std::string(text) + "\n");
}

int PrintFailure(const Failure& failure, OutputFormat format) {
  const ApiError& error = failure.error;
  if (format == OutputFormat::kJson)
    PrintData(boost::json::serialize(boost::json::object{{"error", error.ToJson()}}) + "\n");
  std::string text = "bailey: ";
  const bool named = error.tenant.empty() || error.message.find(error.tenant) != std::string::npos;
  if (!named) text += error.tenant + ": ";
  text += Printable(error.message);
  if (!error.hint.empty()) text += "\n  try: " + Printable(error.hint);
  PrintMessage(text);
  return static_cast<int>(failure.exit);
}

}  // namespace bailey::tenants
