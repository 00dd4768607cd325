// A supervisor against members made up by the test: etcd's and Patroni's answers, and time.

#include "cluster/supervisor.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <set>

#include "base/text.hpp"

using namespace haechi;
using namespace haechi::cluster;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

std::vector<Site> three_sites() {
  std::vector<Site> sites;
  for (const std::string s : {"a", "b", "c"}) {
    sites.push_back({s, {"http://" + s + ":8008"}, s + ":5432", "http://" + s + ":8009", "http://" + s + ":2379"});
  }
  return sites;
}

/// Three sites of which some are dead or frozen.
class Platform final : public Asker {
 public:
  explicit Platform(Loop& loop) : loop_(loop) {}

  Task<Answer> ask(Question q) override {
    const auto host = host_port_of(q.url);
    const auto site = host.substr(0, 1);
    if (frozen.contains(site)) {
      co_await loop_.sleep(q.timeout);
      co_return Answer{};
    }
    if (killed.contains(site)) co_return Answer{.how = Answer::How::Refused};
    co_await loop_.sleep(milliseconds(1));
    co_return host.ends_with("2379") ? etcd(q) : patroni(q, site);
  }

  std::set<std::string> frozen, killed, woken;
  std::string leader = "a", sync = "b", mark;
  std::set<std::string> tagged;
  std::int64_t leader_index = 10;
  int releases = 0;
  bool majority = true;

 private:
  Answer etcd(const Question& q) {
    const auto ok = [](std::string body) {
      return Answer{.how = Answer::How::Answered, .status = 200, .body = std::move(body)};
    };
    if (q.url.ends_with("/version")) return ok("{}");
    if (q.url.contains("/v2/stats")) return ok(R"({"state":"StateFollower"})");
    if (q.url.contains("/haechi/sites")) {
      return ok(mark.empty()
                    ? R"({"errorCode":100})"
                    : R"({"node":{"nodes":[{"key":"/haechi/sites/b","value":"{\"state\":\")" + mark + R"(\"}"}]}})");
    }
    const bool needs_majority = q.method != "GET" || q.url.contains("quorum");
    if (needs_majority && !majority) return {.how = Answer::How::Answered, .status = 503};
    if (q.method == "DELETE") {
      if (leader.empty()) return {.how = Answer::How::Answered, .status = 404, .body = R"({"errorCode":100})"};
      if (!q.url.contains("prevIndex=" + std::to_string(leader_index)) || !q.url.contains("prevValue=" + leader)) {
        return {.how = Answer::How::Answered, .status = 412, .body = R"({"errorCode":101})"};
      }
      ++releases;
      leader.clear();
      return ok("{}");
    }
    if (q.method == "PUT") {
      tagged.insert(q.url.substr(q.url.rfind('/') + 1) + (q.body.contains("nosync") ? " nosync" : " nofailover"));
      return ok("{}");
    }
    std::string members;
    for (const std::string s : {"a", "b", "c"}) {
      members += fmt::format(
          R"({}{{"key":"/m/{}","modifiedIndex":5,"value":"{{\"api_url\":\"http://{}:8009/p\"{}}}"}})",
          members.empty() ? "" : ",", s, s, tagged.contains(s + " nosync") ? R"(,\"tags\":{\"nosync\":true})" : "");
    }
    return ok(fmt::format(
        R"({{"node":{{"nodes":[{}{{"key":"/sync","value":"{{\"leader\":\"a\",\"sync_standby\":\"{}\"}}"}},{{"key":"/members","nodes":[{}]}}]}}}})",
        leader.empty() ? ""
                       : fmt::format(R"({{"key":"/leader","value":"{}","modifiedIndex":{}}},)", leader, leader_index),
        sync, members));
  }

  Answer patroni(const Question& q, const std::string& site) {
    if (q.method == "PATCH") {
      woken.insert(site);
      if (leader.empty() && site == sync) leader = std::exchange(sync, "c");
      else if (tagged.contains(sync + " nosync") && site == leader) sync = "c";
    }
    return {.how = Answer::How::Answered, .status = 200};
  }

  Loop& loop_;
};

struct World {
  explicit World(std::string own)
      : supervisor(loop, platform, metrics, {.own = std::move(own), .sites = three_sites()}) {}
  ~World() {
    Scope last;
    last.spawn(supervisor.stop());
    loop.advance(seconds(20));
  }
  void live(Duration d) { loop.advance(d); }
  ManualClock clock;
  ManualLoop loop{clock};
  Metrics metrics;
  Platform platform{loop};
  Supervisor supervisor;
};

}  // namespace

TEST_CASE("the key of a killed primary is released within a second, and the successor is woken") {
  World w("b");
  w.supervisor.start();
  w.live(seconds(5));
  CHECK(w.platform.releases == 0);
  w.platform.killed.insert("a");
  w.live(milliseconds(400));
  CHECK(w.platform.releases == 0);
  w.live(milliseconds(400));
  CHECK(w.platform.releases == 1);
  CHECK(w.platform.leader == "b");
  CHECK(w.platform.tagged.empty());
  w.live(seconds(2));
  CHECK(w.platform.woken == std::set<std::string>{"b", "c"});
  CHECK(w.platform.releases == 1);
}

TEST_CASE("a frozen primary is given longer, and the candidate need not ask it again") {
  World w("b");
  w.supervisor.start();
  w.live(seconds(5));
  w.platform.frozen.insert("a");
  w.live(milliseconds(850));
  CHECK(w.platform.releases == 0);
  w.live(milliseconds(700));
  CHECK(w.platform.releases == 1);
  CHECK(w.platform.tagged == std::set<std::string>{"a nofailover"});
  CHECK(w.platform.leader == "b");
}

TEST_CASE("a primary that renews its key is alive, however silent it is for us") {
  World w("b");
  w.supervisor.start();
  w.live(seconds(5));
  w.platform.frozen.insert("a");
  for (int i = 0; i < 20; ++i) {
    w.live(milliseconds(500));
    ++w.platform.leader_index;
  }
  CHECK(w.platform.releases == 0);
}

TEST_CASE("a site that is cut off does nothing") {
  World w("b");
  w.supervisor.start();
  w.live(seconds(5));
  w.platform.frozen = {"a", "c"};
  w.platform.majority = false;
  w.live(seconds(10));
  CHECK(w.platform.releases == 0);
  CHECK(w.platform.tagged.empty());
}

TEST_CASE("a frozen standby is taken off the list, and the leader told at once") {
  World w("a");
  w.supervisor.start();
  w.live(seconds(5));
  w.platform.frozen.insert("b");
  w.live(milliseconds(800));
  CHECK(w.platform.tagged == std::set<std::string>{"b nosync"});
  CHECK(w.platform.sync == "c");
  CHECK(w.platform.releases == 0);
}

TEST_CASE("a short pause of a site, or of ourselves, changes nothing") {
  World w("b");
  w.supervisor.start();
  w.live(seconds(5));
  for (int i = 0; i < 5; ++i) {
    w.platform.frozen.insert("a");
    w.live(milliseconds(600));
    w.platform.frozen.clear();
    w.live(milliseconds(600));
  }
  w.clock.advance(seconds(30));  // nothing ran in the meantime
  w.live(seconds(3));
  CHECK(w.platform.releases == 0);
  CHECK(w.platform.tagged.empty());
}

TEST_CASE("what operators want of the own site is heard within two seconds") {
  World w("b");
  std::vector<SiteState> heard;
  w.supervisor.on_state([&](SiteState s) { heard.push_back(s); });
  w.supervisor.start();
  w.live(seconds(3));
  CHECK(heard.empty());
  w.platform.mark = "evacuating";
  w.live(seconds(2));
  CHECK(w.supervisor.state() == SiteState::Evacuating);
  w.platform.mark = "in service";
  w.live(seconds(2));
  CHECK(heard == std::vector{SiteState::Evacuating, SiteState::InService});
}
