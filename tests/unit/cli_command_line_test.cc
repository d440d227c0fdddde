#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tenants/cli/command_line.h"
#include "tenants/cli/outcome.h"

namespace bailey::tenants {
namespace {

std::variant<Invocation, ParseEnd> Parse(std::vector<std::string> words) {
  words.insert(words.begin(), "bailey");
  return ParseCommandLine(words);
}

template <class T>
T Command(std::vector<std::string> words) {
  auto parsed = Parse(std::move(words));
  const auto* end = std::get_if<ParseEnd>(&parsed);
  if (end != nullptr) {
    ADD_FAILURE() << end->text;
    return {};
  }
  return std::get<T>(std::get<Invocation>(parsed).command);
}

int Exit(std::vector<std::string> words) {
  auto parsed = Parse(std::move(words));
  const auto* end = std::get_if<ParseEnd>(&parsed);
  return end == nullptr ? -1 : end->exit;
}

TEST(CommandLine, PublishTakesRangesAndUdp) {
  const auto launch =
      Command<CreateCommand>({"launch", "acme", "--publish", "80,10000-10099,53/udp"});
  EXPECT_EQ(launch.settings,
            (std::vector<Setting>{{"network.publish", R"([80,"10000-10099","53/udp"])"}}));
}

TEST(CommandLine, LaunchTakesItsSpecFromOptions) {
  const auto launch = Command<CreateCommand>(
      {"launch",  "acme",      "--ip",   "203.0.113.7",   "--memory", "512M",          "--cpu",
       "1.5",     "--publish", "80,443", "--deny-egress", "*:25",     "--deny-egress", "10.0.0.0/8",
       "--allow", "mount",     "-e",     "A=b",           "--",       "/bin/sh",       "-c",
       "exit 0"});
  EXPECT_TRUE(launch.launch);
  EXPECT_EQ(launch.name, "acme");
  const std::vector<Setting> expected = {{"tenant.ip", "203.0.113.7"},
                                         {"limits.cpu", "1.5"},
                                         {"limits.memory", "512M"},
                                         {"network.publish", "[80,443]"},
                                         {"network.egress.deny", R"(["*:25","10.0.0.0/8"])"},
                                         {"allow.mount", "true"}};
  EXPECT_EQ(launch.settings, expected);
  EXPECT_EQ(launch.env, std::vector<std::string>{"A=b"});
  EXPECT_EQ(launch.argv, (std::vector<std::string>{"/bin/sh", "-c", "exit 0"}));
}

TEST(CommandLine, ShowMayBeAboutTheRoot) {
  EXPECT_FALSE(Command<ShowCommand>({"show", "acme"}).fs);
  const auto show = Command<ShowCommand>({"show", "acme", "--fs", "other"});
  EXPECT_TRUE(show.fs);
  EXPECT_EQ(show.names, (std::vector<std::string>{"acme", "other"}));
}

TEST(CommandLine, CreateTakesAFileAndNothingBeside) {
  EXPECT_EQ(Command<CreateCommand>({"create", "-f", "x.toml"}).file, "x.toml");
  EXPECT_FALSE(Command<CreateCommand>({"create", "-f", "x.toml"}).launch);
  EXPECT_EQ(Exit({"create", "acme", "-f", "x.toml"}), 2);
  EXPECT_EQ(Exit({"create", "-f", "x.toml", "--ip", "203.0.113.7"}), 2);
  EXPECT_EQ(Exit({"create"}), 2);
}

TEST(CommandLine, ExecKeepsTheCommandsOwnOptions) {
  const auto exec = Command<ExecCommand>({"exec", "-it", "-u", "www", "-w", "/srv", "-e", "A=b",
                                          "acme", "--", "ls", "-l", "--", "-x"});
  EXPECT_EQ(exec.name, "acme");
  EXPECT_TRUE(exec.interactive && exec.tty);
  EXPECT_EQ(exec.user, "www");
  EXPECT_EQ(exec.cwd, "/srv");
  EXPECT_EQ(exec.argv, (std::vector<std::string>{"ls", "-l", "--", "-x"}));
  const auto bare = Command<ExecCommand>({"exec", "acme", "ps", "-e", "-o", "pid"});
  EXPECT_EQ(bare.argv, (std::vector<std::string>{"ps", "-e", "-o", "pid"}))
      << "also without the dashes";
  EXPECT_EQ(Command<ExecCommand>({"exec", "acme", "--", "cat"}).interactive, true);
  EXPECT_EQ(Command<ExecCommand>({"exec", "-n", "acme", "--", "cat"}).interactive, false);
}

TEST(CommandLine, ShellIsALoginShell) {
  const auto shell = Command<ExecCommand>({"shell", "acme"});
  EXPECT_TRUE(shell.shell);
  EXPECT_EQ(shell.argv, (std::vector<std::string>{"/bin/sh", "-l"}));
}

TEST(CommandLine, SetKnowsShortKeys) {
  const auto set =
      Command<SetCommand>({"set", "acme", "memory=1G", "limits.cpu=2", "publish=80", "pids="});
  const std::vector<Setting> expected = {{"limits.memory", "1G"},
                                         {"limits.cpu", "2"},
                                         {"network.publish", "[80]"},
                                         {"limits.pids", ""}};
  EXPECT_EQ(set.settings, expected);
  EXPECT_EQ(Exit({"set", "acme", "memory"}), 2);
  EXPECT_EQ(Exit({"set", "acme", "memoy=1G"}), 2);
  EXPECT_EQ(Exit({"set", "acme", "=1"}), 2);
}

TEST(CommandLine, SeveralTenantsAtOnce) {
  const auto remove = Command<LifeCommand>({"rm", "--force", "a", "b"});
  EXPECT_EQ(remove.verb, LifeVerb::kRemove);
  EXPECT_TRUE(remove.force);
  EXPECT_EQ(remove.names, (std::vector<std::string>{"a", "b"}));
}

TEST(CommandLine, TemplatesAreMadeFromExactlyOneThing) {
  const auto debian = Command<TemplateCreateCommand>(
      {"template", "create", "d", "--debootstrap", "bookworm", "--include", "nginx,curl"});
  EXPECT_EQ(debian.kind, "debootstrap");
  EXPECT_EQ(debian.suite, "bookworm");
  EXPECT_EQ(debian.include, (std::vector<std::string>{"nginx", "curl"}));
  EXPECT_EQ(Command<TemplateCreateCommand>({"template", "create", "b", "--busybox"}).kind,
            "busybox");
  EXPECT_EQ(Exit({"template", "create", "b"}), 2);
  EXPECT_EQ(Exit({"template", "create", "b", "--busybox", "--host"}), 2);
  EXPECT_EQ(Exit({"template"}), 2);
}

TEST(CommandLine, TheFormatMayStandAnywhere) {
  for (const auto& words :
       {std::vector<std::string>{"-o", "json", "ls"}, std::vector<std::string>{"ls", "-o", "json"},
        std::vector<std::string>{"template", "ls", "--output", "json"}}) {
    const auto parsed = Parse(words);
    ASSERT_TRUE(std::holds_alternative<Invocation>(parsed));
    EXPECT_EQ(std::get<Invocation>(parsed).format, OutputFormat::kJson);
    EXPECT_TRUE(std::get<Invocation>(parsed).format_given);
  }
  EXPECT_EQ(Exit({"ls", "-o", "xml"}), 2);
}

TEST(CommandLine, MistakesAreUsageAndPointToHelp) {
  EXPECT_EQ(Exit({}), 2);
  EXPECT_EQ(Exit({"frobnicate"}), 2);
  EXPECT_EQ(Exit({"ls", "extra"}), 2);
  EXPECT_EQ(Exit({"ls", "--", "x"}), 2);
  EXPECT_EQ(Exit({"exec", "acme"}), 2);
  EXPECT_EQ(Exit({"exec", "acme", "--nope", "ls"}), 2);
  EXPECT_EQ(Exit({"logs", "acme", "-n", "-5"}), 2);
  const auto parsed = Parse({"start"});
  EXPECT_NE(std::get<ParseEnd>(parsed).text.find("bailey start --help"), std::string::npos);
}

TEST(CommandLine, HelpIsNoMistake) {
  for (const auto& words : {std::vector<std::string>{"--help"},
                            {"launch", "--help"},
                            {"template", "create", "--help"},
                            {"--version"}}) {
    const auto parsed = Parse(words);
    ASSERT_TRUE(std::holds_alternative<ParseEnd>(parsed));
    EXPECT_EQ(std::get<ParseEnd>(parsed).exit, 0);
    EXPECT_FALSE(std::get<ParseEnd>(parsed).text.empty());
  }
}

TEST(ExitCodes, AreThoseOfTheDesign) {
  const std::pair<ApiCode, int> rows[] = {{ApiCode::kUsage, 2},   {ApiCode::kNotFound, 3},
                                          {ApiCode::kExists, 4},  {ApiCode::kDenied, 5},
                                          {ApiCode::kLimit, 6},   {ApiCode::kInUse, 7},
                                          {ApiCode::kTimeout, 9}, {ApiCode::kFailed, 10}};
  for (const auto& [code, exit] : rows) EXPECT_EQ(static_cast<int>(ExitCodeOf(code)), exit);
}

}  // namespace
}  // namespace bailey::tenants
