#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>

#include "tenants/cli/render.h"
#include "tenants/cli/terminal.h"
#include "tenants/cli/verify_report.h"
#include "tenants/cli/views.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

json::array Tenants() {
  return {json::parse(R"({"name":"alice","state":"running","ip":"127.77.0.2","template":"busybox",
                          "limits":{"cpu":1.5,"memory":536870912,"pids":256},
                          "usage":{"cpuSeconds":0.126,"memoryBytes":5452595,"tasks":4},
                          "published":[80,"53/udp"]})"),
          json::parse(R"({"name":"bob","state":"stopped","ip":"127.77.0.3","template":"d",
                          "limits":{"cpu":null,"memory":null,"pids":64},"usage":null,
                          "published":[]})")};
}

TEST(Render, TablesAlignAndSayWhatIsNotThere) {
  EXPECT_EQ(Render(OutputFormat::kTable, TenantView(), Tenants()),
            "NAME   STATE    IP          TEMPLATE  CPU    MEM        TASKS  DISK  PORTS\n"
            "alice  running  127.77.0.2  busybox   0.13s  5.2M/512M  4/256  -     80,53/udp\n"
            "bob    stopped  127.77.0.3  d         -      -          -/64   -     -\n");
}

TEST(Render, NamesAndCsvAreForScripts) {
  EXPECT_EQ(Render(OutputFormat::kName, TenantView(), Tenants()), "alice\nbob\n");
  EXPECT_EQ(Render(OutputFormat::kName, TenantView(), {}), "");
  EXPECT_EQ(Render(OutputFormat::kCsv, TenantView(), Tenants()),
            "name,state,ip,template,cpu,mem,tasks,disk,ports\n"
            "alice,running,127.77.0.2,busybox,0.13s,5.2M/512M,4/256,,\"80,53/udp\"\n"
            "bob,stopped,127.77.0.3,d,,,-/64,,\n");
}

TEST(Render, JsonIsTheApisDocument) {
  const std::string text = Render(OutputFormat::kJson, TenantView(), Tenants());
  const json::value document = json::parse(text);
  EXPECT_EQ(document.at("apiVersion"), "bailey/v1");
  EXPECT_EQ(document.at("kind"), "Tenant");
  EXPECT_EQ(document.at("items").as_array(), Tenants());
  EXPECT_EQ(
      json::parse(Render(OutputFormat::kJson, TenantView(), {})).at("items").as_array().size(), 0U);
}

TEST(Render, YamlQuotesWhatCouldBeTakenForSomethingElse) {
  const json::array items = {json::parse(
      R"({"plain":"abc-1","yes":"yes","number":"12","empty":"","text":"a: b","list":[1,["x"]],
          "none":[],"object":{"k":null}})")};
  EXPECT_EQ(Render(OutputFormat::kYaml, View{"Thing", {}}, items),
            "apiVersion: bailey/v1\n"
            "kind: Thing\n"
            "items:\n"
            "  - plain: abc-1\n"
            "    \"yes\": \"yes\"\n"
            "    number: \"12\"\n"
            "    empty: \"\"\n"
            "    text: \"a: b\"\n"
            "    list:\n"
            "      - 1\n"
            "      - - x\n"
            "    none: []\n"
            "    object:\n"
            "      k: null\n");
}

TEST(Render, DetailShowsEverythingIndented) {
  EXPECT_EQ(RenderDetail(json::parse(R"({"name":"a","error":null,"limits":{"cpu":1.5,"pids":[]},
                                         "ports":[80]})")
                             .as_object()),
            "name:   a\n"
            "error:  -\n"
            "limits:\n"
            "  cpu:  1.5\n"
            "  pids: -\n"
            "ports:  [80]\n");
}

TEST(Render, AFileSystemIsATableOfLayersAndItsCounters) {
  const json::object item = json::parse(R"({"name":"web","state":"running","layers":[
          {"kind":"upper","name":"web","path":"/t/web/upper","bytes":1258291,"inodes":34,
           "complete":false,"measuredAt":"T1"},
          {"kind":"template","name":"b@1","path":"/t/b/1/root","bytes":4194304,"inodes":400,
           "complete":true,"measuredAt":"T0"},
          {"kind":"bind","name":"b@1/usr","path":"/usr","bytes":null,"inodes":null,
           "complete":null,"measuredAt":null}],
          "counters":{"copyUps":3,"openFiles":1}})")
                                .as_object();
  EXPECT_EQ(FileSystemText(item),
            "name:  web\n"
            "state: running\n"
            "\n"
            "LAYER     NAME     SIZE   INODES  MEASURED  PATH\n"
            "upper     web      >1.2M  34      T1        /t/web/upper\n"
            "template  b@1      4.0M   400     T0        /t/b/1/root\n"
            "bind      b@1/usr  -      -       -         /usr\n"
            "\n"
            "copyUps:   3\n"
            "openFiles: 1\n");
  EXPECT_EQ(Render(OutputFormat::kCsv, FileSystemView(), {item}),
            "name,state,layers,copy-ups,copied,open-files,nodes,passthrough-opens,denied\n"
            "web,running,upper:>1.2M template:4.0M bind:-,3,,1,,,\n");
}

TEST(Render, NothingOfATenantsControlsTheTerminal) {
  const json::array items = {json::object{{"name", "a\x1b[2Jb\n"}}};
  const View view{"Thing",
                  {{"NAME", [](const json::object& item) { return MemberText(item, "name"); }}}};
  EXPECT_EQ(Render(OutputFormat::kTable, view, items), "NAME\na?[2Jb?\n");
}

TEST(ProgressLine, FitsTheTerminal) {
  EXPECT_EQ(ProgressLine("Unpacking dpkg", 50, 80),
            "[############------------]  50%  Unpacking dpkg");
  EXPECT_EQ(ProgressLine("text", -1, 80), "text");
  EXPECT_EQ(ProgressLine("text", 200, 80), "[########################] 100%  text");
  EXPECT_EQ(ProgressLine("Unpacking dpkg", 0, 40).size(), 39U);
}

TEST(VerifyReport, JudgesWhatTheProbeSays) {
  VerifyReport report;
  report.Take(R"({"wall":"w","attempt":"a","expected":"EPERM","got":"EPERM","ok":true})");
  report.Take("\n{\"wall\":\"w\",\"attempt\":\"b\",\"expected\":\"EPERM\",");
  report.Take("\"got\":\"got through\",\"ok\":false}\n");
  EXPECT_FALSE(report.complete());
  EXPECT_EQ(report.attempts().size(), 2U);
  EXPECT_EQ(report.failures(), 1U);
  EXPECT_EQ(report.attempts()[0].at("result"), "PASS");
  EXPECT_EQ(report.attempts()[1].at("result"), "FAIL");
  report.Take("{\"done\":2}\n");
  EXPECT_TRUE(report.complete());
}

TEST(VerifyReport, ALostOrStrangeLineIsNoSuccess) {
  VerifyReport lost;
  lost.Take("{\"done\":3}\n");
  EXPECT_FALSE(lost.complete());
  VerifyReport strange;
  strange.Take("hello\n{\"wall\":1,\"ok\":true}\n");
  EXPECT_EQ(strange.failures(), 2U);
}

}  // namespace
}  // namespace bailey::tenants
