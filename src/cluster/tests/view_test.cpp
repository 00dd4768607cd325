#include "cluster/view.hpp"

#include <doctest/doctest.h>

#include "base/json.hpp"

using namespace haechi;
using namespace haechi::cluster;

namespace {

const std::vector<Site> kSites = {
    {"a", {"http://10.0.1.1:8008"}, "10.0.1.1:5432", "http://10.0.1.1:8009", "http://10.0.1.1:2379"},
    {"b", {"http://10.0.2.1:8008"}, "10.0.2.1:5432", "http://10.0.2.1:8009", "http://10.0.2.1:2379"},
};

constexpr std::string_view kDirectory = R"({"action":"get","node":{"key":"/service/haechi","dir":true,"nodes":[
{"key":"/service/haechi/config","value":"{\"loop_wait\":1,\"synchronous_mode\":true,\"synchronous_mode_strict\":true}","modifiedIndex":20},
{"key":"/service/haechi/leader","value":"pg_one","ttl":20,"modifiedIndex":160,"createdIndex":21},
{"key":"/service/haechi/sync","value":"{\"leader\":\"pg_one\",\"sync_standby\":\"pg_two, other\"}","modifiedIndex":43},
{"key":"/service/haechi/members","dir":true,"nodes":[
 {"key":"/service/haechi/members/pg_two","value":"{\"conn_url\":\"postgres://10.0.2.1:5432/postgres\",\"api_url\":\"http://x/patroni\",\"state\":\"running\",\"role\":\"replica\",\"timeline\":3,\"tags\":{\"nosync\":true}}","modifiedIndex":158},
 {"key":"/service/haechi/members/pg_one","value":"{\"conn_url\":\"postgres://h/postgres\",\"api_url\":\"http://10.0.1.1:8009/patroni\",\"state\":\"running\",\"role\":\"master\"}","modifiedIndex":162}]}]}})";

}  // namespace

TEST_CASE("Patroni's keys are read, and members are found at their sites by either address") {
  const auto view = parse_view(kDirectory, kSites);
  REQUIRE(view);
  CHECK(view->leader == "pg_one");
  CHECK(view->leader_index == 160);
  CHECK(view->leader_site() == "a");
  CHECK(view->sync_standbys == std::vector<std::string>{"pg_two", "other"});
  CHECK(view->sync_site() == "b");
  CHECK(view->loop_wait == 1);
  CHECK(view->strict_sync);
  CHECK_FALSE(view->failover_pending);
  REQUIRE(view->member("pg_two"));
  CHECK(view->member("pg_two")->no_sync);
  CHECK(view->member("pg_two")->timeline == 3);
  CHECK(view->member("pg_two")->index == 158);
  CHECK(view->at_site("a")->name == "pg_one");
  CHECK(view->member("nobody") == nullptr);
}

TEST_CASE("an empty etcd, an error and rubbish are no view") {
  CHECK_FALSE(parse_view("", kSites));
  CHECK_FALSE(parse_view("[]", kSites));
  CHECK_FALSE(parse_view(R"({"errorCode":100,"message":"Key not found","cause":"/service","index":7})", kSites));
  CHECK(etcd_error(R"({"errorCode":101,"message":"Compare failed","cause":"[3 != 160]","index":162})") ==
        etcd_code::kCompareFailed);
  CHECK(etcd_error("not JSON") == 0);
}

TEST_CASE("a tag is added beside what a member says of itself") {
  const auto tagged = with_tag(R"({"state":"running","tags":{"x":1}})", "nosync");
  REQUIRE(tagged);
  const auto o = must_parse_object(*tagged);
  CHECK(get_string(o, "state") == "running");
  CHECK(get_flag(*get_object(o, "tags"), "nosync"));
  CHECK(get_int(*get_object(o, "tags"), "x") == 1);
  CHECK(get_flag(*get_object(must_parse_object(*with_tag(R"({"state":"running"})", "nofailover")), "tags"),
                 "nofailover"));
  CHECK_FALSE(with_tag("rubbish", "nosync"));
}

TEST_CASE("marks are read; a site without one is in service") {
  const auto marks = parse_marks(
      R"({"node":{"key":"/haechi/sites","dir":true,"nodes":[{"key":"/haechi/sites/b","value":"{\"state\":\"evacuating\",\"since\":\"t\"}"},{"key":"/haechi/sites/c","value":"x"}]}})");
  REQUIRE(marks.size() == 1);
  CHECK(marks.at("b").state == SiteState::Evacuating);
  CHECK(marks.at("b").since == "t");
  CHECK(parse_marks(R"({"errorCode":100})").empty());
  for (const auto s : {SiteState::InService, SiteState::Evacuating, SiteState::Evacuated}) {
    CHECK(site_state_of(name_of(s)) == s);
  }
}

TEST_CASE("host and port of a URL") {
  CHECK(host_port_of("http://10.0.1.1:8009/patroni") == "10.0.1.1:8009");
  CHECK(host_port_of("http://user:word@h:1") == "h:1");
  CHECK(host_port_of("https://h/x") == "h:443");
  CHECK(host_port_of("http://h") == "h:80");
  CHECK(host_port_of("postgres://h/postgres") == "h:5432");
  CHECK(host_port_of("http://[::1]:80/x") == "[::1]:80");
  CHECK(host_port_of("http://[::1]") == "[::1]:80");
}
