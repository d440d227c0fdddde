// What a person sees: data on stdout, messages on stderr.
#pragma once

#include <string_view>

#include "tenants/cli/command_line.h"
#include "tenants/cli/outcome.h"
#include "tenants/cli/render.h"

namespace bailey::tenants {

// All of `text` to stdout, as it is.
void PrintData(std::string_view text);
// One line to stderr, for people: what has been done.
void PrintMessage(std::string_view text);
// "bailey: what failed" and "  try: the next thing" on stderr; with -o json the error object on
// stdout too. Returns the exit status.
int PrintFailure(const Failure& failure, OutputFormat format);

}  // namespace bailey::tenants
