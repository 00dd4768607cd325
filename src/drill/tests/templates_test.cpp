#include "drill/templates.hpp"

#include <doctest/doctest.h>

#include "drill/site_init.hpp"
#include "drill/watch.hpp"

namespace haechi::drill {

TEST_CASE("names between @ are replaced and nothing else is") {
  const Values values{{"SITE", "a"}, {"ADDRESS_A", "10.0.0.1"}};
  struct Row {
    const char *text, *expected;
  };
  for (const auto& [text, expected] :
       {Row{"", ""}, Row{"name: @SITE@\n", "name: a\n"}, Row{"@SITE@@ADDRESS_A@", "a10.0.0.1"},
        Row{"%u@%d me@example.org @", "%u@%d me@example.org @"}, Row{"@@SITE@@", "@a@"}, Row{"@SITE", "@SITE"}}) {
    CHECK(fill_in(text, values) == std::string(expected));
  }
  CHECK(fill_in("x @MISSING@", values).error().message == "no value for @MISSING@");
}

TEST_CASE("an environment file is read as systemd reads it") {
  const auto read = parse_environment("# comment\nA=1\n\n  B=x=y \nno value\nnet.c = 2\n");
  CHECK(read == std::map<std::string, std::string>{{"A", "1"}, {"B", "x=y"}, {"net.c", "2"}});
}

TEST_CASE("what operators install is in the program") {
  for (const char* name : {"etcd.env", "patroni.yml", "haechi.toml", "post-bootstrap.sh"}) {
    CHECK(std::ranges::any_of(deploy_files(), [&](const auto& f) { return f.name == name && f.text.size() > 100; }));
  }
}

TEST_CASE("a site's description survives the way to its first process") {
  const SiteSpec spec{.name = "b",
                      .namespaces = true,
                      .user = 58'310,
                      .group = 58'310,
                      .files_over = {{"/etc/hosts", "/x/hosts"}},
                      .sysctls = {{"net.ipv4.tcp_syn_retries", "2"}},
                      .folder = "/x",
                      .services = {{.name = "etcd",
                                    .argv = {"/usr/bin/etcd", "--flag"},
                                    .environment = {{"A", "1"}},
                                    .log = "/x/etcd.log",
                                    .wait_for = {"http://10.0.0.1:1/health"},
                                    .wait_s = 7,
                                    .nice = -3}}};
  const auto again = parse_site_spec(to_text(to_json(spec)));
  REQUIRE(again);
  CHECK(to_text(to_json(*again)) == to_text(to_json(spec)));
  CHECK_FALSE(parse_site_spec("{}"));
  CHECK_FALSE(parse_site_spec(R"({"services":[{"name":"x"}]})"));
  CHECK_FALSE(parse_site_spec("["));
}

TEST_CASE("who is who is read from Patroni") {
  const auto roles = parse_cluster(R"({"members":[
    {"name":"a","role":"replica","state":"running"},
    {"name":"b","role":"leader","state":"running"},
    {"name":"c","role":"sync_standby","state":"running"}]})");
  CHECK(roles.complete());
  CHECK(roles.primary == 1);
  CHECK(roles.standby == 2);
  CHECK(roles.of("third") == 0);
  CHECK(roles.role_of(2) == "standby");
  CHECK_FALSE(parse_cluster("nonsense").complete());
  CHECK_FALSE(parse_cluster(R"({"members":[{"name":"zz","role":"leader"}]})").complete());
}

TEST_CASE("a standby counts once it streams") {
  const auto all = parse_replication(R"({"replication":[
    {"application_name":"a","state":"streaming","sync_state":"sync"},
    {"application_name":"c","state":"streaming","sync_state":"async"},
    {"application_name":"pg_basebackup","state":"streaming","sync_state":"async"}]})");
  CHECK(all.streaming == 2);
  CHECK(all.synchronous);
  const auto one =
      parse_replication(R"({"replication":[{"application_name":"a","state":"catchup","sync_state":"async"}]})");
  CHECK(one.streaming == 0);
  CHECK_FALSE(one.synchronous);
  CHECK(parse_replication(R"({"state":"stopped"})").streaming == 0);
}

}  // namespace haechi::drill
