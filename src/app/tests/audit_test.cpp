#include "app/audit.hpp"

#include <doctest/doctest.h>

using namespace haechi;
using namespace haechi::app;

namespace {

cluster::Survey healthy() {
  cluster::Survey s;
  cluster::View view;
  view.leader = "ma";
  view.sync_standbys = {"mb"};
  view.strict_sync = true;
  for (const std::string name : {"a", "b", "c"}) {
    view.members.push_back({.name = "m" + name, .site = name});
    cluster::SiteReport r;
    r.site = {
        name, {"http://" + name + ":8008"}, name + ":5432", "http://" + name + ":8009", "http://" + name + ":2379"};
    r.nodes.push_back({.url = r.site.nodes[0],
                       .answers = true,
                       .ready = true,
                       .document = json::object{{"machine_busy", 0.3},
                                                {"cores", 4},
                                                {"version", "1"},
                                                {"settings", "s"},
                                                {"vault", "v"},
                                                {"secrets", "x"}}});
    r.database = {.answers = true,
                  .member = "m" + name,
                  .role = name == "a"   ? "primary"
                          : name == "b" ? "sync standby"
                                        : "standby",
                  .state = "running",
                  .streaming = name != "a"};
    r.etcd = {.answers = true, .healthy = true};
    s.sites.push_back(std::move(r));
  }
  s.view = view;
  return s;
}

Config of_three_sites() {
  Config c;
  c.public_base_url = "https://chat.example";
  c.store.engine = Engine::Postgresql;
  c.blobs.place = BlobPlace::Database;
  for (const auto& s : healthy().sites) c.sites.push_back(s.site);
  return c;
}

constexpr WallMs kNow = 1'800'000'000'000;

std::vector<AuditItem> judge(const Config& config, const cluster::Survey& survey,
                             BackupFacts backups = {.seen = true,
                                                    .places = {"b1", "c1"},
                                                    .newest_ms = kNow - 3'600'000},
                             std::vector<std::string> addresses = {"192.0.2.1", "192.0.2.2"}) {
  return audit({.config = config,
                .survey = survey,
                .backups = std::move(backups),
                .public_addresses = std::move(addresses),
                .now_ms = kNow});
}

std::string lost(const std::vector<AuditItem>& items) {
  std::string out;
  for (const auto& i : items) {
    if (i.holds == Holds::No) out += i.name + ": " + i.says + "\n";
  }
  return out;
}

}  // namespace

TEST_CASE("three whole sites hold everything") {
  const auto config = of_three_sites();
  const auto items = judge(config, healthy());
  CHECK(lost(items) == "");
  CHECK(all_hold(items));
  CHECK(audit_table(items).contains("ok"));
  CHECK(get_flag(audit_json(items), "survives_any_site"));
}

TEST_CASE("each thing that a single site's loss would take away is named") {
  struct Row {
    const char* name;
    void (*harm)(cluster::Survey&);
    const char* item;
    const char* says;
  };
  const Row rows[] = {
      {"a copy is gone", [](auto& s) { s.sites[2].database = {}; }, "database: ", "two copies"},
      {"two copies are gone", [](auto& s) { s.sites[1].database = s.sites[2].database = {}; },
       "database: ", "end of the data"},
      {"nobody confirms", [](auto& s) { s.view->sync_standbys.clear(); }, "acknowledged changes: ", "no synchronous"},
      {"sync is not strict", [](auto& s) { s.view->strict_sync = false; }, "acknowledged changes: ", "strict"},
      {"an etcd member is down", [](auto& s) { s.sites[1].etcd = {}; }, "etcd: ", "no majority"},
      {"other settings", [](auto& s) { s.sites[1].nodes[0].document["settings"] = "t"; },
       "settings files: ", "http://b:8008 has other settings"},
      {"another key", [](auto& s) { s.sites[2].nodes[0].document["vault"] = "w"; }, "vault key: ", "http://c:8008"},
      {"no keys",
       [](auto& s) {
         for (auto& site : s.sites) site.nodes[0].document["vault"] = "";
       },
       "vault key: ", "no node has a key"},
      {"nodes of one site only",
       [](auto& s) {
         for (int i : {1, 2}) s.sites[static_cast<std::size_t>(i)].nodes[0] = {.url = "x"};
       },
       "nodes: ", "too few sites"},
      {"busy machines",
       [](auto& s) {
         for (auto& site : s.sites) site.nodes[0].document["machine_busy"] = 0.7;
       },
       "spare capacity: ", "105 % busy"},
  };
  const auto config = of_three_sites();
  for (const auto& row : rows) {
    CAPTURE(row.name);
    auto s = healthy();
    row.harm(s);
    const auto items = judge(config, s);
    CHECK_FALSE(all_hold(items));
    const auto text = lost(items);
    CAPTURE(text);
    const auto at = text.find(row.item);
    REQUIRE(at != std::string::npos);
    CHECK(text.substr(at, text.find('\n', at) - at).contains(row.says));
  }
}

TEST_CASE("backups are judged by age and place, and not at all where they cannot be seen") {
  const auto config = of_three_sites();
  const auto judged = [&](BackupFacts b) { return lost(judge(config, healthy(), std::move(b))); };
  CHECK(judged({.seen = true, .places = {"b1"}, .newest_ms = kNow}).contains("one place only: b1"));
  CHECK(judged({.seen = true, .places = {"b1", "c1"}, .newest_ms = kNow - 50 * 3'600'000ll}).contains("50 hours old"));
  CHECK(judged({.seen = true, .places = {"b1", "c1"}}).contains("there is none"));
  CHECK(judged({.why = "look there"}) == "");
}

TEST_CASE("one address of the front is a question, none is a loss") {
  const auto config = of_three_sites();
  const BackupFacts b{.seen = true, .places = {"b1", "c1"}, .newest_ms = kNow};
  CHECK(lost(judge(config, healthy(), b, {"192.0.2.1"})) == "");
  CHECK(lost(judge(config, healthy(), b, {})).contains("no address"));
}

TEST_CASE("media in a store on one site's machine are lost with it") {
  auto config = of_three_sites();
  config.blobs.place = BlobPlace::S3;
  config.blobs.s3_endpoint = "http://b:9000";
  CHECK(lost(judge(config, healthy())).contains("media (S3)"));
  config.blobs.s3_endpoint = "https://s3.example";
  CHECK(lost(judge(config, healthy())) == "");
}

TEST_CASE("one machine is said to hold everything") {
  Config config;
  config.blobs.place = BlobPlace::Local;
  const auto items = audit_one_machine(config, {.seen = true, .places = {"/mnt/x"}, .newest_ms = kNow}, kNow);
  CHECK_FALSE(all_hold(items));
  const auto text = lost(items);
  CHECK(text.contains("database: one machine holds it"));
  CHECK(text.contains("media: one machine"));
  CHECK_FALSE(text.contains("backups"));
}
