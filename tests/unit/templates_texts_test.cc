// The pure halves of template building: what of the host's texts a tenant may see, which mirror a
// suite comes from, what a request may say.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tenants/templates/apt_sources.h"
#include "tenants/templates/debootstrap_progress.h"
#include "tenants/templates/host_etc.h"
#include "tenants/templates/template_builder.h"
#include "tenants/templates/template_store.h"

namespace bailey::tenants {
namespace {

TEST(HostEtc, ShowsSystemUsersWithoutPasswordsOrNames) {
  const std::string passwd =
      "root:$y$hash:0:0:The Boss:/root:/bin/bash\n"
      "www-data:x:33:33::/var/www:/usr/sbin/nologin\n"
      "eve:x:1000:1000:Eve:/home/eve:/bin/bash\n"
      "daemonless:x:33x:33::/:/bin/sh\n"
      "mixed:x:10:1000::/:/bin/sh\n"
      "short:x:1\n"
      "nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n";
  EXPECT_EQ(SystemUsersOnly(passwd),
            "root:x:0:0::/root:/bin/bash\n"
            "www-data:x:33:33::/var/www:/usr/sbin/nologin\n"
            "nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n");
  EXPECT_EQ(SystemGroupsOnly("adm:x:4:eve,www-data\neve:x:1000:\nsudo:x:27:eve\n", passwd),
            "adm:x:4:www-data\nsudo:x:27:\n");
}

TEST(HostEtc, TakesOfTheLocaleOnlyPlainAssignments) {
  EXPECT_EQ(LocaleOnly("LANG=C.UTF-8\nPASSWORD=x\nLC_ALL=$(reboot)\nLC_TIME=de_DE\nLC_\n"),
            "LANG=C.UTF-8\nLC_TIME=de_DE\n");
}

TEST(HostEtc, KnowsASecretByItsNameAndByItsText) {
  for (const char* name : {"ssl/private/host.key", "ssh/ssh_host_rsa_key", "x/id_ed25519",
                           "app/secrets.yml", "app/db_password", ".netrc", "aws/credentials"})
    EXPECT_TRUE(LooksSecret(name, "")) << name;
  EXPECT_TRUE(LooksSecret("certs/both.pem", "-----BEGIN RSA PRIVATE KEY-----\n"));
  EXPECT_FALSE(LooksSecret("ssl/certs/ca.crt", "-----BEGIN CERTIFICATE-----\n"));
}

TEST(AptSources, ReadsBothStyles) {
  const std::vector<AptSource> lines = ParseOneLineSources(
      "# deb http://off.example/debian bookworm main\n"
      "deb [arch=amd64 signed-by=/usr/share/keyrings/a.gpg] http://a.example/debian/ bookworm main "
      "contrib # why\n"
      "deb-src http://a.example/debian bookworm main\n"
      "deb\n");
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0].uri, "http://a.example/debian");
  EXPECT_EQ(lines[0].suite, "bookworm");
  EXPECT_EQ(lines[0].components, (std::vector<std::string>{"main", "contrib"}));
  EXPECT_EQ(lines[0].keyring, "/usr/share/keyrings/a.gpg");

  const std::vector<AptSource> paragraphs = ParseDeb822Sources(
      "Types: deb deb-src\nURIs: http://b.example/debian\nSuites: bookworm bookworm-updates\n"
      "Components: main\n\n"
      "Types: deb\nEnabled: no\nURIs: http://c.example\nSuites: bookworm\nComponents: main\n");
  ASSERT_EQ(paragraphs.size(), 2U);
  EXPECT_EQ(paragraphs[1].suite, "bookworm-updates");
}

TEST(AptSources, ChoosesTheHostsMirrorAndKeepsItsPassword) {
  const std::vector<AptSource> sources = {
      {"https://vendor.example/apt", "stable", {"main"}, ""},
      {"http://user:word@m.example/debian", "bookworm", {"main"}, ""},
      {"http://user:word@m.example/security", "bookworm-security", {"main"}, ""}};
  const SuiteMirror mirror = ChooseMirror(sources, "bookworm");
  EXPECT_EQ(mirror.main.uri, "http://user:word@m.example/debian");
  ASSERT_EQ(mirror.more.size(), 1U);
  const std::string text = SourcesListFor(mirror);
  EXPECT_NE(text.find("http://m.example/debian bookworm main"), std::string::npos) << text;
  EXPECT_EQ(text.find("word"), std::string::npos) << text;
  EXPECT_EQ(WithoutCredentials("http://a:b@c/d@e"), "http://c/d@e");
}

TEST(DebootstrapProgress, ReportsPercentAndText) {
  std::vector<std::pair<std::string, int>> said;
  DebootstrapProgress progress(
      [&](std::string_view text, int percent) { said.emplace_back(text, percent); });
  for (const char* line :
       {"P: 0 94 DOWNDEBS", "PF: Downloading packages", "I: RETRIEVING", "IA: dpkg", "IA: 1.21",
        "IF: Retrieving %s %s", "P: 94 94 DOWNDEBS", "E: 1", "IF: %s %s %s %n"})
    progress.Line(line);
  ASSERT_FALSE(said.empty());
  bool named = false;
  int last = -1;
  for (const auto& [text, percent] : said) {
    named |= text.find("Retrieving dpkg 1.21") != std::string::npos;
    EXPECT_GE(percent, last) << text;
    EXPECT_LE(percent, 100);
    last = percent;
  }
  EXPECT_TRUE(named);
}

TEST(TemplateRequest, SurvivesARoundTrip) {
  TemplateRequest request;
  request.name = "debian-12";
  request.kind = TemplateKind::kDebootstrap;
  request.suite = "bookworm";
  request.include = {"nginx", "ca-certificates"};
  const auto read = TemplateRequest::FromJson(request.ToJson());
  ASSERT_TRUE(read) << read.error().Message();
  EXPECT_EQ(read->ToJson(), request.ToJson());
}

TEST(TemplateRequest, RefusesWhatCouldMeanSomethingElse) {
  for (const char* body :
       {R"({"name":"x"})", R"({"name":"../x","kind":"busybox"})", R"({"name":"","kind":"busybox"})",
        R"({"name":"X","kind":"busybox"})", R"({"name":"x","kind":"docker"})",
        R"({"name":"x","kind":"busybox","path":"/a"})", R"({"name":"x","kind":"tar"})",
        R"({"name":"x","kind":"tar","path":"a.tar"})",
        R"({"name":"x","kind":"tar","path":"/a\u0000b"})", R"({"name":"x","kind":"debootstrap"})",
        R"({"name":"x","kind":"debootstrap","suite":"--foreign"})",
        R"({"name":"x","kind":"debootstrap","suite":"bookworm","include":["--second-stage"]})",
        R"({"name":"x","kind":"debootstrap","suite":"bookworm","mirror":"--keyring=/x"})",
        R"({"name":"x","kind":"debootstrap","suite":"bookworm","mirror":"ftp://x"})",
        R"({"name":"x","kind":"host","colour":"red"})", R"({"name":7,"kind":"host"})", "[]", "",
        "{\"name\":\"x\",\"kind\":\"host\""})
    EXPECT_FALSE(TemplateRequest::FromJson(body)) << body;
}

TEST(Template, DescribesItself) {
  Template made;
  made.name = "host";
  made.generation = 2;
  made.kind = "host";
  made.binds = {{"usr", "/usr"}};
  made.hide = {"usr/local/etc"};
  const auto read = Template::FromJson(made.ToJson());
  ASSERT_TRUE(read) << read.error().Message();
  EXPECT_EQ(read->ToJson(), made.ToJson());
  EXPECT_FALSE(Template::FromJson("{}"));
  EXPECT_FALSE(Template::FromJson("not json"));
}

}  // namespace
}  // namespace bailey::tenants
