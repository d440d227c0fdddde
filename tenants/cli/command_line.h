// The command line of bailey as values: what each verb was asked to do. Parsing does nothing else,
// so that it can be tested without a daemon.
#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tenants/cli/render.h"
#include "tenants/cli/spec_options.h"

namespace bailey::tenants {

struct CreateCommand {
  bool launch = false;
  std::string name;
  std::string file;  // -f: a spec in TOML, "-" for stdin; then no settings
  std::vector<Setting> settings;
  std::vector<std::string> env;   // "K=V"
  std::vector<std::string> argv;  // behind "--"
};
enum class LifeVerb { kStart, kStop, kRestart, kSuspend, kResume, kRemove };
struct LifeCommand {
  LifeVerb verb = LifeVerb::kStart;
  std::vector<std::string> names;
  bool force = false;
  std::string server;  // of a restart: only this one
};
struct ListCommand {};
struct ShowCommand {
  std::vector<std::string> names;
  bool fs = false;  // the layers of the root, and what the file server counts
};
struct LogsCommand {
  std::string name;
  bool follow = false;
  int lines = -1;  // the last so many; -1: all
};
struct EventsCommand {
  std::string name;  // of one tenant; empty: all
  int lines = -1;    // the newest so many; -1: as many as the daemon gives
};
struct ExecCommand {
  std::string name;
  bool interactive = false, tty = false;
  bool shell = false;  // `bailey shell`: a terminal only if there is one
  std::string user, cwd;
  std::vector<std::string> env;
  std::vector<std::string> argv;
};
struct SetCommand {
  std::string name;
  std::vector<Setting> settings;
};
struct TemplateCreateCommand {
  std::string name, kind, suite, mirror, path;
  std::vector<std::string> include;
};
struct TemplateListCommand {};
struct TemplateRemoveCommand {
  std::vector<std::string> names;
};
struct DoctorCommand {};
struct VerifyCommand {
  std::string name;
};

using Command =
    std::variant<CreateCommand, LifeCommand, ListCommand, ShowCommand, LogsCommand, EventsCommand,
                 ExecCommand, SetCommand, TemplateCreateCommand, TemplateListCommand,
                 TemplateRemoveCommand, DoctorCommand, VerifyCommand>;

struct Invocation {
  Command command;
  OutputFormat format = OutputFormat::kTable;
  bool format_given = false;
};

// Nothing to do but to say something: help, the version, or what is wrong.
struct ParseEnd {
  int exit = 0;
  std::string text;  // to stdout when exit is 0, else to stderr
};

std::variant<Invocation, ParseEnd> ParseCommandLine(const std::vector<std::string>& argv);

}  // namespace bailey::tenants
