// Evacuation and return against a platform made up by the test.

#include "cluster/evacuation.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <map>
#include <set>

#include "base/json.hpp"
#include "base/text.hpp"

using namespace haechi;
using namespace haechi::cluster;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

/// Patroni hands over when asked to; the key is released by whoever comes first.
class Platform final : public Asker {
 public:
  explicit Platform(Loop& loop) : loop_(loop) {}

  Task<Answer> ask(Question q) override {
    co_await loop_.sleep(milliseconds(1));
    const auto host = host_port_of(q.url);
    const auto site = host.substr(0, 1);
    if (down.contains(site)) co_return Answer{};
    if (q.connect_only) {
      const bool closed = site == old_leader && loop_.now() >= shut_at;
      co_return Answer{.how = closed ? Answer::How::Refused : Answer::How::Answered};
    }
    if (host.ends_with("2379")) co_return etcd(q);
    if (host.ends_with("8009")) co_return patroni(q, site);
    co_return node(q, site);
  }

  std::string leader = "a", sync = "b", old_leader;
  std::map<std::string, std::string> marks;
  std::set<std::string> down, not_streaming;
  std::vector<std::string> writes;
  int connections = 40;
  bool refuse = false;
  Instant shut_at = Instant::max();
  int index = 5;

 private:
  static Answer ok(std::string body) { return {.how = Answer::How::Answered, .status = 200, .body = std::move(body)}; }
  static std::string node_text(std::string key, std::string value) {
    std::string out = R"({"modifiedIndex":5,"key":")" + key + R"(","value":)";
    append_json_string(out, value);
    return out + "}";
  }

  Answer etcd(const Question& q) {
    if (q.url.ends_with("/health")) return ok(R"({"health":"true"})");
    if (q.url.contains("/stats/")) return ok(R"({"state":"StateFollower"})");
    if (q.url.contains("/haechi/sites")) {
      if (q.method == "PUT") {
        const auto value = *percent_decode(q.body.substr(6));
        const auto site = q.url.substr(q.url.rfind('/') + 1);
        marks[site] = std::string(get_string(must_parse_object(value), "state").value());
        writes.push_back(site + " " + marks[site]);
        return ok("{}");
      }
      std::string nodes;
      for (const auto& [site, state] : marks) {
        nodes += (nodes.empty() ? "" : ",") + node_text("/haechi/sites/" + site, R"({"state":")" + state + "\"}");
      }
      return ok(R"({"node":{"nodes":[)" + nodes + "]}}");
    }
    if (q.method == "DELETE") {
      if (leader.empty()) return {.how = Answer::How::Answered, .status = 404, .body = R"({"errorCode":100})"};
      leader.clear();
      writes.push_back("released");
      return ok("{}");
    }
    std::string members;
    for (const std::string s : {"a", "b", "c"}) {
      members += (members.empty() ? "" : ",") + node_text("/m/" + s, R"({"api_url":"http://)" + s + R"(:8009/p"})");
    }
    std::string list = node_text("/sync", R"({"leader":"x","sync_standby":")" + sync + "\"}");
    if (!leader.empty()) list += "," + node_text("/leader", leader);
    return ok(R"({"node":{"nodes":[)" + list + R"(,{"key":"/members","nodes":[)" + members + "]}]}}");
  }

  Answer patroni(const Question& q, const std::string& site) {
    if (q.method == "POST") {
      if (refuse) return {.how = Answer::How::Answered, .status = 412, .body = "no good candidates have been found"};
      old_leader = site;
      shut_at = loop_.now() + milliseconds(150);
      writes.push_back("switchover");
      return ok("done");
    }
    if (q.method == "PATCH") {
      if (leader.empty() && site == sync) {
        leader = sync;
        sync = "c";
        writes.push_back(leader + " leads");
      }
      return ok("{}");
    }
    const bool primary = site == leader;
    std::string standbys;
    for (const std::string s : {"a", "b", "c"}) {
      if (s == leader || not_streaming.contains(s)) continue;
      standbys += (standbys.empty() ? "" : ",") + (R"({"application_name":")" + s + R"(","state":"streaming"})");
    }
    return ok(fmt::format(R"({{"state":"{}","role":"{}","sync_standby":{},"xlog":{{"location":5}}{}}})",
                          site == old_leader && leader != site && loop_.now() < shut_at + seconds(1) ? "stopping"
                          : site == old_leader && primary                                            ? "stopping"
                                                                                                     : "running",
                          primary ? "master" : "replica", site == sync,
                          primary ? R"(,"replication":[)" + standbys + "]" : ""));
  }

  Answer node(const Question& q, const std::string& site) {
    const bool away = marks.contains(site) && marks[site] != "in service";
    if (q.url.contains("/ready")) {
      return {.how = Answer::How::Answered, .status = away ? 503 : 200, .body = away ? R"({"why":"evacuated"})" : "{}"};
    }
    if (away) connections = std::max(connections - 10, 1);
    return ok(fmt::format(R"({{"connections":{}}})", connections));
  }

  Loop& loop_;
};

struct World {
  World() {
    std::vector<Site> sites;
    for (const std::string n : {"a", "b", "c"}) {
      sites.push_back({n, {"http://" + n + ":8008"}, n + ":5432", "http://" + n + ":8009", "http://" + n + ":2379"});
    }
    dcs.emplace(platform, sites, "haechi");
  }
  Result<> run(Task<Result<>> task) {
    std::optional<Result<>> out;
    Scope scope;
    scope.spawn(keep(std::move(task), out));
    for (int i = 0; i < 3000 && !out; ++i) loop.advance(milliseconds(100));
    REQUIRE(out);
    loop.advance(seconds(30));
    return *out;
  }
  Result<> evacuate(std::string site, EvacuationOptions o = {}) {
    return run(cluster::evacuate(loop, *dcs, std::move(site), o, [this](const std::string& l) { told += l + "\n"; }));
  }
  Result<> come_back(std::string site) {
    return run(return_site(loop, *dcs, std::move(site), {}, [this](const std::string& l) { told += l + "\n"; }));
  }
  static Task<void> keep(Task<Result<>> task, std::optional<Result<>>& out) { out = co_await std::move(task); }

  ManualClock clock;
  ManualLoop loop{clock};
  Platform platform{loop};
  std::optional<Dcs> dcs;
  std::string told;
};

}  // namespace

TEST_CASE("the primary's site is evacuated: marked, handed over, drained, marked again") {
  World w;
  const auto done = w.evacuate("a");
  REQUIRE_MESSAGE(done, done.error().message);
  CHECK(w.platform.writes ==
        std::vector<std::string>{"a evacuating", "switchover", "released", "b leads", "a evacuated"});
  CHECK(w.told.contains("commits are confirmed by c"));
  CHECK(w.told.contains("clients: gone"));
}

TEST_CASE("a site without the primary needs no hand-over, and a second run finds all done") {
  World w;
  REQUIRE(w.evacuate("c"));
  CHECK(w.platform.writes == std::vector<std::string>{"c evacuating", "c evacuated"});
  REQUIRE(w.evacuate("c"));
  CHECK(w.platform.writes.size() == 3);
  CHECK(w.told.contains("were told before"));
}

TEST_CASE("what the platform would not survive is refused, and nothing is changed") {
  World w;
  w.platform.not_streaming = {"c"};
  const auto no = w.evacuate("a");
  REQUIRE_FALSE(no);
  CHECK(no.error().is(Errc::Conflict));
  CHECK(no.error().message.contains("one copy"));
  CHECK(w.platform.writes.empty());
  CHECK(w.evacuate("nowhere").error().is(Errc::NotFound));
  CHECK(w.evacuate("c", {.force = true}));
}

TEST_CASE("Patroni's refusal is passed on, and a later run goes on from there") {
  World w;
  w.platform.refuse = true;
  const auto no = w.evacuate("a");
  REQUIRE_FALSE(no);
  CHECK(no.error().message.contains("no good candidates"));
  CHECK(w.platform.marks["a"] == "evacuating");
  w.platform.refuse = false;
  REQUIRE(w.evacuate("a"));
  CHECK(w.platform.marks["a"] == "evacuated");
}

TEST_CASE("clients that stay do not hold the evacuation up for ever") {
  World w;
  w.platform.connections = 100'000;
  REQUIRE(w.evacuate("c", {.drain_max = seconds(3)}));
  CHECK(w.told.contains("connections remain"));
  CHECK(w.platform.marks["c"] == "evacuated");
}

TEST_CASE("a site is back in service only once its database streams") {
  World w;
  REQUIRE(w.evacuate("c"));
  w.platform.not_streaming = {"c"};
  CHECK(w.come_back("c").error().is(Errc::Timeout));
  CHECK(w.platform.marks["c"] == "evacuated");
  w.platform.not_streaming.clear();
  REQUIRE(w.come_back("c"));
  CHECK(w.platform.marks["c"] == "in service");
  CHECK(w.told.contains("site c is in service"));
}
