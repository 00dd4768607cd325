#include "cluster/decision.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace haechi;
using namespace haechi::cluster;
using Act = Decision::Act;
using std::chrono::milliseconds;

namespace {

constexpr Limits kLimits;

View a_leads_b_confirms() {
  View v;
  v.leader = "ma";
  v.leader_index = 7;
  v.sync_leader = "ma";
  v.sync_standbys = {"mb"};
  for (const char* s : {"a", "b", "c"}) v.members.push_back({.name = std::string("m") + s, .site = s, .value = "{}"});
  return v;
}

Scene scene(std::string own, std::map<std::string, Verdict, std::less<>> others, std::size_t answering) {
  return {.own = std::move(own),
          .others = std::move(others),
          .etcd_members = 3,
          .etcd_answering = answering,
          .view = a_leads_b_confirms()};
}

Verdict silent(int ms) { return {.silent = milliseconds(ms)}; }
Verdict gone(int ms) { return {.silent = milliseconds(ms), .refuses = true}; }

}  // namespace

TEST_CASE("what is done about a silent site, by who is silent, for how long, seen from where") {
  struct Row {
    const char* name;
    Scene scene;
    Act act;
    const char* site;
    bool spare;
  };
  const Row rows[] = {
      {"nobody is silent", scene("b", {}, 3), Act::Nothing, "", false},
      {"the leader, not yet for long enough", scene("b", {{"a", silent(900)}}, 2), Act::Nothing, "", false},
      {"the leader, seen by the candidate", scene("b", {{"a", silent(1000)}}, 2), Act::ReplaceLeader, "a", true},
      {"the leader's processes are gone", scene("b", {{"a", gone(500)}}, 2), Act::ReplaceLeader, "a", false},
      {"the third site waits for the candidate", scene("c", {{"a", silent(1000)}}, 2), Act::Nothing, "", false},
      {"and steps in when that does nothing", scene("c", {{"a", silent(1700)}}, 2), Act::ReplaceLeader, "a", false},
      {"cut off ourselves", scene("b", {{"a", silent(9000)}, {"c", silent(9000)}}, 1), Act::Nothing, "", false},
      {"the leader's own site never judges itself", scene("a", {{"b", {}}, {"c", {}}}, 3), Act::Nothing, "", false},
      {"the standby, seen by the leader", scene("a", {{"b", silent(500)}}, 2), Act::ReplaceStandby, "b", false},
      {"the standby's processes are gone", scene("a", {{"b", gone(200)}}, 2), Act::ReplaceStandby, "b", false},
      {"the standby, seen from elsewhere", scene("c", {{"b", silent(500)}}, 2), Act::Nothing, "", false},
      {"the standby, seen from elsewhere, later", scene("c", {{"b", silent(1200)}}, 2), Act::ReplaceStandby, "b",
       false},
      {"the third site is nobody's business", scene("a", {{"c", silent(9000)}}, 2), Act::Nothing, "", false},
      {"standby and leader both in doubt", scene("c", {{"a", silent(600)}, {"b", silent(1300)}}, 2), Act::Nothing, "",
       false},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    const auto d = decide(row.scene, kLimits);
    CHECK(d.act == row.act);
    CHECK(d.site == row.site);
    CHECK(d.spare_the_question == row.spare);
  }
}

TEST_CASE("nothing is done where nobody leads, or twice about one standby") {
  auto s = scene("b", {{"a", silent(5000)}}, 2);
  s.view.leader.clear();
  CHECK(decide(s, kLimits).act == Act::Nothing);
  auto t = scene("a", {{"b", silent(5000)}}, 2);
  t.view.members[1].no_sync = true;
  CHECK(decide(t, kLimits).act == Act::Nothing);
}

TEST_CASE("whatever it sees, it takes no live site's key, acts in no minority, and judges not its own site") {
  std::mt19937 random(7);
  const auto pick = [&](int n) { return std::uniform_int_distribution<int>(0, n - 1)(random); };
  const char* sites[] = {"a", "b", "c", ""};
  int acts = 0;
  for (int i = 0; i < 200'000; ++i) {
    Scene s{.own = sites[pick(3)], .etcd_members = 3, .etcd_answering = static_cast<std::size_t>(pick(4))};
    for (int k = 0; k < 3; ++k) {
      if (sites[k] != s.own && pick(4) > 0)
        s.others[sites[k]] = {.silent = milliseconds(pick(3) * pick(1500)), .refuses = pick(2) == 0};
      if (pick(5) > 0)
        s.view.members.push_back({.name = std::string("m") + sites[k], .site = sites[pick(8) == 0 ? 3 : k]});
    }
    if (pick(6) > 0) s.view.leader = std::string("m") + sites[pick(3)];
    for (int k = pick(3); k > 0; --k) s.view.sync_standbys.push_back(std::string("m") + sites[pick(3)]);
    const auto d = decide(s, kLimits);
    if (d.act == Act::Nothing) continue;
    ++acts;
    REQUIRE(s.etcd_answering >= 2);
    REQUIRE(d.site != s.own);
    const auto seen = s.others.find(d.site);
    REQUIRE(seen != s.others.end());
    if (d.act == Act::ReplaceLeader) {
      REQUIRE(d.member == s.view.leader);
      REQUIRE(s.view.leader_site() == d.site);
      REQUIRE(seen->second.silent >= (seen->second.refuses ? kLimits.leader_refuses : kLimits.leader_silent));
      if (d.spare_the_question) REQUIRE(s.view.sync_site() == s.own);
    } else {
      REQUIRE(seen->second.silent >= (seen->second.refuses ? kLimits.standby_refuses : kLimits.standby_silent));
      REQUIRE(s.view.member(d.member)->site == d.site);
    }
  }
  CHECK(acts > 1000);
}

TEST_CASE("silence counts only what was asked and not answered by both parts") {
  ManualClock clock;
  Silence s(clock.now());
  const auto ask_both = [&] {
    s.asked(Part::Etcd, clock.now());
    s.asked(Part::Patroni, clock.now());
  };
  clock.advance(std::chrono::seconds(10));
  CHECK(s.verdict(clock.now()).silent == Duration::zero());  // nobody was asked
  for (int i = 0; i < 10; ++i) {
    s.asked(Part::Etcd, clock.now());
    clock.advance(milliseconds(100));
  }
  CHECK(s.verdict(clock.now()).silent == Duration::zero());  // Patroni was not
  ask_both();
  clock.advance(milliseconds(100));
  ask_both();
  CHECK(s.verdict(clock.now()).silent == Duration::zero());  // and may yet answer
  clock.advance(milliseconds(150));
  CHECK(s.verdict(clock.now()).silent > std::chrono::seconds(10));
  CHECK_FALSE(s.verdict(clock.now()).refuses);
  s.heard(Part::Patroni, clock.now());
  CHECK(s.verdict(clock.now()).silent == Duration::zero());
  CHECK_FALSE(s.quiet(clock.now()));
}

TEST_CASE("two that refuse are gone, one that refuses is not") {
  ManualClock clock;
  Silence s(clock.now());
  for (int i = 0; i < 3; ++i) {
    clock.advance(milliseconds(100));
    s.asked(Part::Etcd, clock.now());
    s.refused(Part::Etcd, clock.now());
    CHECK(s.quiet(clock.now()));
    s.asked(Part::Patroni, clock.now());
    if (i > 0) s.refused(Part::Patroni, clock.now());
    CHECK(s.verdict(clock.now()).refuses == (i == 2));
  }
  CHECK(s.verdict(clock.now()).silent == milliseconds(300));
  s.forget(clock.now());
  CHECK(s.verdict(clock.now()).silent == Duration::zero());
}
