#include "tenants/cli/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <memory>
#include <sstream>

#include "tenants/cli/spec_options.h"

namespace bailey::tenants {
namespace {

constexpr const char* kVersion = "bailey 0.1.0";

constexpr const char* kExitCodes =
    "Exit status: 0 done, 2 usage, 3 not found, 4 exists, 5 denied, 6 limit, 7 in use,\n"
    "8 daemon unreachable, 9 timed out, 10 failed; exec: the command's own, or 125-127.\n"
    "Start with: bailey doctor; bailey template create busybox --busybox;\n"
    "            bailey launch web --ip 127.77.0.2; bailey shell web\n";

// `bailey exec NAME ps -e` means `bailey exec NAME -- ps -e`: the command begins with the second
// word that is no option, and from there on everything is the command's.
std::vector<std::string> MarkCommand(std::vector<std::string> words) {
  static constexpr auto kTakeValue = std::to_array<std::string_view>(
      {"-u", "--user", "-w", "--workdir", "-e", "--env", "-o", "--output"});
  int plain = 0;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--") break;
    if (std::ranges::find(kTakeValue, words[i]) != kTakeValue.end()) {
      ++i;
    } else if (!words[i].starts_with('-') && ++plain == 1) {
      if (words[i] != "exec") break;
    } else if (plain == 3) {
      words.insert(words.begin() + static_cast<ptrdiff_t>(i), "--");
      break;
    }
  }
  return words;
}

// What the options are parsed into; commands are made of it afterwards.
struct Parsed {
  std::string format = "table", name, file, user, cwd, command;
  std::vector<std::string> names, env, texts, include;
  SpecOptions spec;
  bool force = false, follow = false, interactive = false, no_input = false, tty = false;
  bool fs = false;
  int lines = -1;
  bool busybox = false, host = false;
  std::string suite, mirror, tar, server;
};

// A verb: its subcommand, and what it makes of the options and the words behind "--".
struct Verb {
  CLI::App* app = nullptr;
  std::function<Command(const std::vector<std::string>& behind)> make;
};

class Grammar {
 public:
  Grammar();
  std::variant<Invocation, ParseEnd> Parse(std::vector<std::string> words);

 private:
  CLI::App* Add(CLI::App* to, const char* name, const char* help, const char* group);
  void AddSpecOptions(CLI::App* verb);
  void AddLife();
  void AddLook();
  void AddWork();
  void AddTemplate();
  void AddTrust();
  Command MakeCreate(bool launch, const std::vector<std::string>& behind) const;
  Command MakeExec(const std::vector<std::string>& behind) const;
  Command MakeTemplate() const;
  ParseEnd End(const CLI::ParseError& error);

  CLI::App app_{"Hosts many tenants on one machine, each with its own root and exactly one IP."};
  Parsed parsed_;
  std::vector<Verb> verbs_;
};

Grammar::Grammar() {
  app_.name("bailey");
  app_.require_subcommand(1);
  app_.fallthrough();
  app_.set_version_flag("--version", kVersion);
  app_.footer(kExitCodes);
  app_.add_option("-o,--output", parsed_.format, "table, json, yaml, csv or name")
      ->check(CLI::IsMember({"table", "json", "yaml", "csv", "name"}))
      ->type_name("FORMAT");
  AddLife();
  AddLook();
  AddWork();
  AddTemplate();
  AddTrust();
}

CLI::App* Grammar::Add(CLI::App* to, const char* name, const char* help, const char* group) {
  CLI::App* verb = to->add_subcommand(name, help);
  verb->group(group);
  return verb;
}

void Grammar::AddSpecOptions(CLI::App* verb) {
  verb->add_option("NAME", parsed_.name, "the tenant's name: a-z, 0-9 and '-', at most 32");
  verb->add_option("-f,--file", parsed_.file, "a spec in TOML instead of options; - for stdin")
      ->type_name("FILE");
  parsed_.spec.AddTo(verb);
  verb->add_option("-e,--env", parsed_.env, "K=V for the start command; may be repeated")
      ->type_name("K=V")
      ->group("Process")
      ->allow_extra_args(false);
}

void Grammar::AddLife() {
  CLI::App* launch = Add(&app_, "launch", "create a tenant and start it", "Life");
  AddSpecOptions(launch);
  launch->footer(
      "bailey launch web --ip 203.0.113.7 --memory 512M -- /bin/sh /etc/rc\n"
      "Returns once the tenant runs. If it cannot start, nothing of it is left behind.\n"
      "Without a command behind --, the template's /etc/rc is run.");
  verbs_.push_back({launch, [this](const auto& behind) { return MakeCreate(true, behind); }});
  CLI::App* create = Add(&app_, "create", "define a tenant, to be started later", "Life");
  AddSpecOptions(create);
  create->footer("bailey create -f web.toml\nbailey create web --ip 203.0.113.7 --pids 256");
  verbs_.push_back({create, [this](const auto& behind) { return MakeCreate(false, behind); }});
  struct Row {
    const char* name;
    const char* help;
    LifeVerb verb;
  };
  for (const Row& row :
       {Row{"start", "start tenants and wait until they run", LifeVerb::kStart},
        Row{"stop", "stop tenants, all of their tasks", LifeVerb::kStop},
        Row{"restart", "stop and start", LifeVerb::kRestart},
        Row{"suspend", "freeze all tasks of tenants, where they are", LifeVerb::kSuspend},
        Row{"resume", "let suspended tenants go on", LifeVerb::kResume},
        Row{"rm", "remove tenants and all their data", LifeVerb::kRemove}}) {
    CLI::App* app = Add(&app_, row.name, row.help, "Life");
    app->add_option("NAME", parsed_.names, "tenants")->required();
    if (row.verb == LifeVerb::kRemove)
      app->add_flag("-f,--force", parsed_.force, "even while they run: stop them first");
    if (row.verb == LifeVerb::kRestart)
      app->add_option("--server", parsed_.server,
                      "only this server of theirs, without a refused connection: net")
          ->check(CLI::IsMember({"net"}));
    verbs_.push_back({app, [this, verb = row.verb](const auto&) -> Command {
                        return LifeCommand{verb, parsed_.names, parsed_.force, parsed_.server};
                      }});
  }
}

void Grammar::AddLook() {
  CLI::App* list = Add(&app_, "ls", "all tenants, with what they use", "Look");
  verbs_.push_back({list, [](const auto&) -> Command { return ListCommand{}; }});
  CLI::App* show = Add(&app_, "show", "everything about tenants", "Look");
  show->add_option("NAME", parsed_.names, "tenants")->required();
  show->add_flag("--fs", parsed_.fs,
                 "the layers of its root, what they take, and what was counted");
  verbs_.push_back({show, [this](const auto&) -> Command {
                      return ShowCommand{parsed_.names, parsed_.fs};
                    }});
  CLI::App* logs = Add(&app_, "logs", "what the start command has written", "Look");
  logs->add_option("NAME", parsed_.name, "the tenant")->required();
  logs->add_flag("-f,--follow", parsed_.follow, "go on with what it writes");
  logs->add_option("-n,--lines", parsed_.lines, "only the last so many lines")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
  verbs_.push_back({logs, [this](const auto&) -> Command {
                      return LogsCommand{parsed_.name, parsed_.follow, parsed_.lines};
                    }});
  CLI::App* events = Add(&app_, "events", "what has happened to tenants, the newest last", "Look");
  events->add_option("NAME", parsed_.name, "one tenant (default: all)");
  events->add_option("-n,--lines", parsed_.lines, "only the newest so many")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  verbs_.push_back({events, [this](const auto&) -> Command {
                      return EventsCommand{parsed_.name, parsed_.lines};
                    }});
}

void Grammar::AddWork() {
  const auto where = [this](CLI::App* app) {
    app->add_option("NAME", parsed_.name, "the tenant")->required();
    app->add_option("-u,--user", parsed_.user, "as this user of the tenant's (default: root)")
        ->type_name("USER");
    app->add_option("-w,--workdir", parsed_.cwd, "in this directory of the tenant's")
        ->type_name("DIR");
    app->add_option("-e,--env", parsed_.env, "K=V; K alone passes your own; may be repeated")
        ->type_name("K=V")
        ->allow_extra_args(false);
  };
  CLI::App* exec = Add(&app_, "exec", "run a command inside every wall of a tenant", "Work");
  where(exec);
  exec->add_flag("-n,--no-input", parsed_.no_input, "do not read stdin, which is passed on else");
  exec->add_flag("-i,--interactive", parsed_.interactive, "pass stdin on: the default");
  exec->add_flag("-t,--tty", parsed_.tty, "with a terminal of its own");
  exec->footer(
      "bailey exec web -- ps\nbailey exec -it web -- sh\necho 1 | bailey exec web -- cat\n"
      "The status is the command's own; 125: Bailey's failure, 126: not executable, 127: not "
      "found.");
  verbs_.push_back({exec, [this](const auto& behind) -> Command { return MakeExec(behind); }});
  CLI::App* shell = Add(&app_, "shell", "a login shell inside a tenant", "Work");
  where(shell);
  verbs_.push_back({shell, [this](const auto&) -> Command {
                      return ExecCommand{parsed_.name, true,        false,       true,
                                         parsed_.user, parsed_.cwd, parsed_.env, {"/bin/sh", "-l"}};
                    }});
  CLI::App* set =
      Add(&app_, "set", "change what a tenant may use, at once where it can be", "Work");
  set->add_option("NAME", parsed_.name, "the tenant")->required();
  set->add_option("KEY=VALUE", parsed_.texts, "keys of the spec; an empty value unsets")
      ->required();
  set->footer(
      "bailey set web memory=1G cpu=1.5\nbailey set web network.publish=80,443\n"
      "bailey set web limits.pids=");
  verbs_.push_back({set, [this](const auto&) -> Command {
                      SetCommand command{parsed_.name, {}};
                      for (const std::string& text : parsed_.texts)
                        command.settings.push_back(ParseSetting(text));
                      return command;
                    }});
}

void Grammar::AddTemplate() {
  CLI::App* group = Add(&app_, "template", "the roots that tenants are made from", "Root");
  group->require_subcommand(1);
  CLI::App* create = Add(group, "create", "make a template", "Template");
  create->add_option("NAME", parsed_.name, "its name")->required();
  create->add_flag("--busybox", parsed_.busybox, "from this host's busybox; tiny, no network");
  create->add_flag("--host", parsed_.host, "this host's own /usr, read-only");
  create->add_option("--debootstrap", parsed_.suite, "a Debian suite, e.g. bookworm")
      ->type_name("SUITE");
  create->add_option("--include", parsed_.include, "with these packages: a,b")
      ->delimiter(',')
      ->type_name("PACKAGES");
  create->add_option("--mirror", parsed_.mirror, "from this mirror (default: the host's)")
      ->type_name("URL");
  create->add_option("--tar", parsed_.tar, "an archive of a root")->type_name("FILE");
  create->footer(
      "bailey template create busybox --busybox\n"
      "bailey template create debian-12 --debootstrap bookworm --include nginx");
  verbs_.push_back({create, [this](const auto&) { return MakeTemplate(); }});
  CLI::App* list = Add(group, "ls", "all templates", "Template");
  verbs_.push_back({list, [](const auto&) -> Command { return TemplateListCommand{}; }});
  CLI::App* remove = Add(group, "rm", "remove templates that no tenant uses", "Template");
  remove->add_option("NAME", parsed_.names, "templates")->required();
  verbs_.push_back(
      {remove, [this](const auto&) -> Command { return TemplateRemoveCommand{parsed_.names}; }});
}

void Grammar::AddTrust() {
  CLI::App* doctor =
      Add(&app_, "doctor", "is this host fit? what lacks, and how to get it", "Trust");
  verbs_.push_back({doctor, [](const auto&) -> Command { return DoctorCommand{}; }});
  CLI::App* verify =
      Add(&app_, "verify", "try every known way out from inside, wall by wall", "Trust");
  verify->add_option("NAME", parsed_.name, "a running tenant")->required();
  verify->footer("Exit status 0 only if every wall holds.");
  verbs_.push_back(
      {verify, [this](const auto&) -> Command { return VerifyCommand{parsed_.name}; }});
}

Command Grammar::MakeCreate(bool launch, const std::vector<std::string>& behind) const {
  CreateCommand command{launch,      parsed_.name, parsed_.file, parsed_.spec.Settings(),
                        parsed_.env, behind};
  if (command.file.empty() && command.name.empty())
    throw CLI::ValidationError("a tenant needs a NAME, or a spec by -f");
  const bool options =
      !command.settings.empty() || !command.env.empty() || !behind.empty() || !command.name.empty();
  if (!command.file.empty() && options)
    throw CLI::ValidationError("-f says everything: leave out NAME, options and command");
  return command;
}

Command Grammar::MakeExec(const std::vector<std::string>& behind) const {
  if (behind.empty())
    throw CLI::ValidationError("no command: bailey exec " + parsed_.name + " -- CMD ARG…");
  if (parsed_.no_input && (parsed_.interactive || parsed_.tty))
    throw CLI::ValidationError("-n contradicts -i and -t");
  return ExecCommand{parsed_.name, !parsed_.no_input, parsed_.tty, false,
                     parsed_.user, parsed_.cwd,       parsed_.env, behind};
}

Command Grammar::MakeTemplate() const {
  const int kinds = (parsed_.busybox ? 1 : 0) + (parsed_.host ? 1 : 0) +
                    (parsed_.suite.empty() ? 0 : 1) + (parsed_.tar.empty() ? 0 : 1);
  if (kinds != 1)
    throw CLI::ValidationError("choose one of --busybox, --host, --debootstrap SUITE, --tar FILE");
  const char* kind = parsed_.busybox          ? "busybox"
                     : parsed_.host           ? "host"
                     : !parsed_.suite.empty() ? "debootstrap"
                                              : "tar";
  return TemplateCreateCommand{parsed_.name,   kind,        parsed_.suite,
                               parsed_.mirror, parsed_.tar, parsed_.include};
}

ParseEnd Grammar::End(const CLI::ParseError& error) {
  std::ostringstream out, messages;
  app_.exit(error, out, messages);
  if (error.get_exit_code() == 0)
    return {0, out.str().ends_with('\n') ? out.str() : out.str() + "\n"};
  std::string verb = "bailey";
  for (const CLI::App* app = &app_; !app->get_subcommands().empty();) {
    app = app->get_subcommands().front();
    verb += " " + app->get_name();
  }
  return {2, "bailey: " + std::string(error.what()) + "\nTry: " + verb + " --help\n"};
}

std::variant<Invocation, ParseEnd> Grammar::Parse(std::vector<std::string> words) {
  words = MarkCommand(std::move(words));
  const auto dashes = std::ranges::find(words, "--");
  std::vector<std::string> behind;
  if (dashes != words.end()) behind.assign(dashes + 1, words.end());
  const bool has_command = dashes != words.end();
  words.erase(dashes, words.end());
  std::ranges::reverse(words);  // CLI11 takes them from the end
  try {
    app_.parse(words);
    for (const Verb& verb : verbs_) {
      if (!verb.app->parsed()) continue;
      Invocation invocation{verb.make(behind)};
      const bool takes_command = std::holds_alternative<CreateCommand>(invocation.command) ||
                                 std::holds_alternative<ExecCommand>(invocation.command);
      if (has_command && !takes_command)
        throw CLI::ValidationError("bailey " + verb.app->get_name() + " takes no command");
      invocation.format = *ParseOutputFormat(parsed_.format);
      invocation.format_given = app_.get_option("--output")->count() > 0;
      return invocation;
    }
    return ParseEnd{2, app_.help()};
  } catch (const CLI::ParseError& error) {
    return End(error);
  }
}

}  // namespace

std::variant<Invocation, ParseEnd> ParseCommandLine(const std::vector<std::string>& argv) {
  return Grammar().Parse({argv.begin() + 1, argv.end()});
}

}  // namespace bailey::tenants
