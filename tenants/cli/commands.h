// The verbs of bailey: each carries out one command and returns the exit status.
#pragma once

#include "tenants/cli/api_client.h"
#include "tenants/cli/command_line.h"

namespace bailey::tenants {

struct Context {
  ApiClient api;
  OutputFormat format = OutputFormat::kTable;
  bool format_given = false;
};

int Run(const Context& context, const CreateCommand& command);
int Run(const Context& context, const LifeCommand& command);
int Run(const Context& context, const ListCommand& command);
int Run(const Context& context, const ShowCommand& command);
int Run(const Context& context, const LogsCommand& command);
int Run(const Context& context, const EventsCommand& command);
int Run(const Context& context, const ExecCommand& command);
int Run(const Context& context, const SetCommand& command);
int Run(const Context& context, const TemplateCreateCommand& command);
int Run(const Context& context, const TemplateListCommand& command);
int Run(const Context& context, const TemplateRemoveCommand& command);
int Run(const Context& context, const DoctorCommand& command);
int Run(const Context& context, const VerifyCommand& command);

}  // namespace bailey::tenants
