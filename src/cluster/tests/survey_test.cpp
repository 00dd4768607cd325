#include "cluster/survey.hpp"

#include <doctest/doctest.h>

using namespace haechi;
using namespace haechi::cluster;

namespace {

/// Three healthy sites: a leads, b confirms.
Survey healthy() {
  Survey s;
  View view;
  view.leader = "ma";
  view.sync_standbys = {"mb"};
  for (const std::string name : {"a", "b", "c"}) {
    view.members.push_back({.name = "m" + name, .site = name});
    SiteReport r;
    r.site = {
        name, {"http://" + name + ":8008"}, name + ":5432", "http://" + name + ":8009", "http://" + name + ":2379"};
    r.nodes.push_back({.url = r.site.nodes[0],
                       .answers = true,
                       .ready = true,
                       .document = json::object{{"machine_busy", 0.5}, {"cores", 4}}});
    r.database = {.answers = true,
                  .member = "m" + name,
                  .role = name == "a"   ? "primary"
                          : name == "b" ? "sync standby"
                                        : "standby",
                  .state = "running",
                  .position = 1000,
                  .streaming = name != "a"};
    r.etcd = {.answers = true, .healthy = true, .leader = name == "c"};
    s.sites.push_back(std::move(r));
  }
  s.view = view;
  return s;
}

class Answers final : public Asker {
 public:
  Task<Answer> ask(Question q) override {
    for (const auto& [start, body] : by_start) {
      if (q.url.starts_with(start)) co_return Answer{.how = Answer::How::Answered, .status = 200, .body = body};
    }
    co_return Answer{};
  }
  std::vector<std::pair<std::string, std::string>> by_start;
};

}  // namespace

TEST_CASE("three healthy sites survive the loss of any") {
  const auto s = healthy();
  for (const char* site : {"a", "b", "c"}) CHECK_MESSAGE(without(s, site).survives, without(s, site).why);
}

TEST_CASE("what keeps the platform from surviving a loss is named") {
  struct Row {
    const char* name;
    void (*harm)(Survey&);
    const char* site;
    const char* why;
  };
  const Row rows[] = {
      {"etcd of another site is down", [](Survey& s) { s.sites[2].etcd = {}; }, "a", "no majority"},
      {"etcd of the lost site itself is down", [](Survey& s) { s.sites[0].etcd = {}; }, "a", ""},
      {"nobody confirms", [](Survey& s) { s.sites[1].database.role = "standby"; }, "a", "synchronous standby"},
      {"nobody confirms, but the primary stays", [](Survey& s) { s.sites[1].database.role = "standby"; }, "c", ""},
      {"a copy is not fed", [](Survey& s) { s.sites[2].database.streaming = false; }, "a", "one copy"},
      {"no other node is ready", [](Survey& s) { s.sites[1].nodes[0].ready = s.sites[2].nodes[0].ready = false; }, "a",
       "no node"},
      {"nobody leads", [](Survey& s) { s.view->leader.clear(); }, "a", "no leader"},
      {"etcd says nothing", [](Survey& s) { s.view.reset(); }, "a", "nobody knows"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    auto s = healthy();
    row.harm(s);
    const auto p = without(s, row.site);
    CHECK(p.survives == std::string_view(row.why).empty());
    CHECK(p.why.contains(row.why));
  }
}

TEST_CASE("the load of a lost site comes upon the others, and a machine with two nodes counts once") {
  auto s = healthy();
  CHECK(busy_without(s, "a").value() == doctest::Approx(0.75));
  s.sites[1].nodes.push_back(s.sites[1].nodes[0]);
  s.sites[1].nodes[1].url = "http://b:8018";
  CHECK(busy_without(s, "a").value() == doctest::Approx(0.75));
  for (auto& site : s.sites) {
    for (auto& node : site.nodes) node.document.clear();
  }
  CHECK_FALSE(busy_without(s, "a"));
}

TEST_CASE("members are asked and put together by site; a site that says nothing is silent") {
  ManualClock clock;
  ManualLoop loop(clock);
  Answers answers;
  const auto key = [](std::string name, std::string value) {
    return R"({"key":"/service/haechi/)" + name + R"(","value":")" + value + R"(","modifiedIndex":1})";
  };
  const std::string view = R"({"node":{"nodes":[)" + key("leader", "ma") + "," +
                           key("sync", R"({\"leader\":\"ma\",\"sync_standby\":\"mb\"})") +
                           R"(,{"key":"/members","nodes":[)" +
                           key("members/ma", R"({\"api_url\":\"http://a:8009/patroni\"})") + "," +
                           key("members/mb", R"({\"api_url\":\"http://b:8009/patroni\"})") + "]}]}}";
  answers.by_start = {
      {"http://a:8008/health/ready", R"({"status":"ok"})"},
      {"http://a:8008/_haechi/v1/node", R"({"machine_busy":0.25,"cores":2})"},
      {"http://a:8009/patroni",
       R"({"state":"running","role":"master","xlog":{"location":900},"timeline":3,"replication":[{"application_name":"mb","state":"streaming"}]})"},
      {"http://a:2379/health", R"({"health":"true"})"},
      {"http://a:2379/v2/stats/self", R"({"state":"StateLeader"})"},
      {"http://a:2379/v2/keys/service", view},
      {"http://a:2379/v2/keys/haechi",
       R"({"node":{"nodes":[{"key":"/haechi/sites/b","value":"{\"state\":\"evacuated\",\"since\":\"7\"}"}]}})"},
      {"http://b:8009/patroni",
       R"({"state":"running","role":"replica","sync_standby":true,"xlog":{"received_location":850},"timeline":3})"},
  };
  std::vector<Site> sites;
  for (const std::string n : {"a", "b", "c"}) {
    sites.push_back({n, {"http://" + n + ":8008"}, n + ":5432", "http://" + n + ":8009", "http://" + n + ":2379"});
  }
  Dcs dcs(answers, sites, "haechi");
  const auto s = loop.run(survey(dcs));
  const auto* a = s.site("a");
  const auto* b = s.site("b");
  CHECK(a->nodes[0].ready);
  CHECK(a->nodes[0].cores() == 2);
  CHECK(a->database.role == "primary");
  CHECK(a->etcd.leader);
  CHECK(b->database.role == "sync standby");
  CHECK(b->database.streaming);
  CHECK(b->database.lag == 50);
  CHECK(b->state == SiteState::Evacuated);
  CHECK_FALSE(b->silent());
  CHECK(s.site("c")->silent());
  const auto table = to_table(s);
  CHECK(table.contains("sync standby"));
  CHECK(table.contains("node http://c:8008 of site c: silent"));
  const auto j = to_json(s);
  CHECK(get_string(j, "leader") == "ma");
  CHECK(get_array(j, "sites")->size() == 3);
}
