#include "cluster/supervisor.hpp"

#include <algorithm>

#include "base/json.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace haechi::cluster {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kProbe = milliseconds(400);       ///< an answer later than that is none
constexpr std::size_t kOpenMax = 5;              ///< questions to one member at a time
constexpr auto kStoodStill = milliseconds(400);  ///< between two ticks: then it was we who slept
constexpr auto kRefresh = seconds(1);
constexpr auto kUsher = seconds(15);
constexpr auto kSettled = seconds(4);  ///< before the etcd leader is moved for the sake of order

double seconds_of(Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

Supervisor::Supervisor(Loop& loop, Asker& asker, Metrics& metrics, SupervisorOptions options)
    : loop_(loop),
      options_(std::move(options)),
      dcs_(asker, options_.sites, options_.scope),
      wakeup_(loop),
      releases_(metrics.counter("haechi_supervisor_leader_releases_total",
                                "Leader keys of dead sites that this node released")),
      vetoes_(metrics.counter("haechi_supervisor_leader_alive_total",
                              "Silent sites whose leader turned out to renew its key")),
      standbys_(metrics.counter("haechi_supervisor_standby_replacements_total",
                                "Silent synchronous standbys that this node had replaced")) {
  const auto now = loop_.now();
  for (const auto& site : dcs_.sites()) {
    targets_.push_back(std::make_unique<Target>(site, now));
    if (site.name == options_.own) continue;
    auto* t = targets_.back().get();
    metrics.gauge(
        "haechi_site_silent_seconds", "Since neither etcd nor Patroni of the site has answered",
        [this, t] { return seconds_of(t->silence.verdict(loop_.now()).silent); }, "site=\"" + site.name + "\"");
  }
  // The own etcd first; silent ones last of all.
  dcs_.prefer([this] {
    std::vector<const Site*> order;
    for (const auto& t : targets_) {
      if (!silent(*t)) order.insert(t->site.name == options_.own ? order.begin() : order.end(), &t->site);
    }
    return order;
  });
}

Supervisor::~Supervisor() = default;

void Supervisor::start() { scope_.spawn(run()); }

Task<void> Supervisor::stop() {
  stopping_ = true;
  wakeup_.notify();
  co_await scope_.join();
}

Supervisor::Target* Supervisor::target(std::string_view site) {
  const auto at = std::ranges::find_if(targets_, [&](const auto& t) { return t->site.name == site; });
  return at == targets_.end() ? nullptr : at->get();
}

bool Supervisor::cut_off() const {
  constexpr Duration kHeard = std::chrono::milliseconds(800);
  std::size_t heard = 0;
  for (const auto& t : targets_) heard += loop_.now() - t->etcd_heard < kHeard ? 1u : 0u;
  return 2 * heard <= targets_.size();
}

bool Supervisor::silent(const Target& t) const { return loop_.now() - t.etcd_heard > kProbe; }

Task<bool> Supervisor::pause(Duration d) {
  co_await loop_.sleep(d);
  co_return !stopping_;
}

Task<void> Supervisor::run() {
  last_tick_ = loop_.now();
  for (auto& t : targets_) t->silence.forget(last_tick_);
  while (!stopping_) {
    const auto now = loop_.now();
    if (now - last_tick_ > kStoodStill) {
      for (auto& t : targets_) t->silence.forget(now);
      noted_.reset();
    }
    last_tick_ = now;
    probe(now);
    judge(now);
    if (now - last_refresh_ >= kRefresh && !refreshing_) {
      last_refresh_ = now;
      refreshing_ = true;
      scope_.spawn(refresh());
    }
    co_await wakeup_.wait(now + options_.tick);
  }
}

void Supervisor::probe(Instant now) {
  for (auto& t : targets_) {
    if (t->open[0] < kOpenMax) scope_.spawn(ask(*t, Part::Etcd));
    // Patroni's answers cost it a thread each: it is asked when etcd gives reason to.
    const bool doubt = t->site.name != options_.own && t->silence.quiet(now);
    if (doubt && t->open[1] < kOpenMax) scope_.spawn(ask(*t, Part::Patroni));
  }
}

Task<void> Supervisor::ask(Target& t, Part part) {
  auto& open = t.open[static_cast<std::size_t>(part)];
  ++open;
  t.silence.asked(part, loop_.now());
  const auto answer = co_await dcs_.asker().ask(
      {.url = part == Part::Etcd ? t.site.etcd + "/version" : t.site.patroni + "/liveness", .timeout = kProbe});
  --open;
  const auto now = loop_.now();
  if (answer.answered()) {
    t.silence.heard(part, now);
    if (part == Part::Etcd) t.etcd_heard = now;
  } else if (answer.how == Answer::How::Refused) {
    t.silence.refused(part, now);
  }
}

void Supervisor::judge(Instant now) {
  if (!view_) return;
  Scene scene{.own = options_.own, .etcd_members = targets_.size(), .view = *view_};
  for (const auto& t : targets_) {
    if (!silent(*t)) ++scene.etcd_answering;
    if (t->site.name != options_.own) scene.others.emplace(t->site.name, t->silence.verdict(now));
  }
  auto* leader = target(view_->leader_site());
  const bool doubt = leader && leader->site.name != options_.own && leader->silence.quiet(now);
  if (!doubt) noted_.reset();
  else if (!noted_ && !std::exchange(noting_, true)) scope_.spawn(note_leader_index(view_->leader));
  if (acting_) return;
  auto decision = decide(scene, options_.limits);
  if (decision.act == Decision::Act::Nothing) return;
  acting_ = true;
  scope_.spawn(act(std::move(decision)));
}

Task<void> Supervisor::refresh() {
  if (auto seen = co_await dcs_.view(Quorum::No)) {
    if (!view_ || view_->leader != seen->leader || view_->sync_standbys != seen->sync_standbys) {
      order_since_ = loop_.now();
    }
    view_ = *std::move(seen);
  }
  if (const auto marks = co_await dcs_.marks()) {
    const auto own = marks->find(options_.own);
    const auto state = own == marks->end() ? SiteState::InService : own->second.state;
    if (state != std::exchange(state_, state)) {
      log::info("what is wanted of this site has changed", {{"site", options_.own}, {"state", name_of(state)}});
      if (hear_state_) hear_state_(state);
    }
  }
  if (loop_.now() - order_since_ > kSettled) {
    order_since_ = loop_.now();
    co_await settle_etcd_leader();
  }
  refreshing_ = false;
}

Task<void> Supervisor::note_leader_index(std::string member) {
  const auto seen = co_await dcs_.view(Quorum::Yes);
  if (seen && seen->leader == member) noted_.emplace(member, seen->leader_index);
  noting_ = false;
}

Task<void> Supervisor::act(Decision decision) {
  if (decision.act == Decision::Act::ReplaceLeader) co_await replace_leader(std::move(decision));
  else co_await replace_standby(std::move(decision));
  acting_ = false;
}

Task<void> Supervisor::replace_leader(Decision decision) {
  auto seen = co_await dcs_.view(Quorum::Yes);
  if (!seen) {
    log::warn("a silent site holds the leader key, and etcd has no majority yet", {{"site", decision.site}});
    co_await pause(milliseconds(50));
    co_return;
  }
  view_ = *seen;
  if (seen->leader != decision.member) co_return;
  auto* dead = target(decision.site);
  if (noted_ && noted_->first == decision.member && noted_->second != seen->leader_index) {
    vetoes_.add();
    log::warn("a site that is silent for us renews its leader key: left alone", {{"site", decision.site}});
    if (dead) dead->silence.forget(loop_.now());
    noted_.reset();
    co_return;
  }
  const auto* member = seen->member(decision.member);
  if (decision.spare_the_question && member) co_await dcs_.tag_member(*member, "nofailover");
  switch (co_await dcs_.release_leader(decision.member, seen->leader_index)) {
    case Changed::Yes:
      releases_.add();
      log::warn("released the leader key of a dead site",
                {{"site", decision.site},
                 {"member", decision.member},
                 {"silent_s", dead ? seconds_of(dead->silence.verdict(loop_.now()).silent) : 0.0}});
      co_await usher(decision.member, *std::move(seen));
      break;
    case Changed::No:
      vetoes_.add();
      if (dead) dead->silence.forget(loop_.now());
      noted_.reset();
      break;
    case Changed::Gone: co_await usher(decision.member, *std::move(seen)); break;
    case Changed::Unknown: break;  // the next tick tries again
  }
}

Task<void> Supervisor::wake_all(std::int64_t loop_wait, std::function<bool(const Target&)> which) {
  Scope errands;
  for (const auto& t : targets_) {
    if (silent(*t) || !which(*t)) continue;
    struct Errand {
      static Task<void> go(Dcs& dcs, const Site& site, std::int64_t wait) { co_await dcs.wake(site, wait); }
    };
    errands.spawn(Errand::go(dcs_, t->site, loop_wait));
  }
  co_await errands.join();
}

Task<void> Supervisor::usher(std::string old_leader, View before) {
  const auto candidate = before.sync_site();
  const auto until = loop_.now() + kUsher;
  auto next_wake = loop_.now();
  while (loop_.now() < until && !stopping_) {
    if (loop_.now() >= next_wake) {
      next_wake = loop_.now() + milliseconds(400);
      // Only the candidate: another member that found no leader might look away for two seconds.
      co_await wake_all(before.loop_wait, [&](const Target& t) { return t.site.name == candidate; });
    }
    auto seen = co_await dcs_.view(Quorum::No);
    if (seen && !seen->leader.empty() && seen->leader != old_leader) {
      view_ = *std::move(seen);
      break;
    }
    if (!co_await pause(milliseconds(40))) co_return;
  }
  if (!view_ || view_->leader.empty() || view_->leader == old_leader) co_return;
  const auto leader_site = view_->leader_site();
  log::info("the database has a new leader", {{"site", leader_site}, {"member", view_->leader}});
  const auto others = [&](const Target& t) { return t.site.name != leader_site; };
  co_await wake_all(before.loop_wait, others);
  for (const auto wait : {milliseconds(250), milliseconds(350)}) {
    if (!co_await pause(wait)) co_return;
    if (auto seen = co_await dcs_.view(Quorum::No)) view_ = *std::move(seen);
    if (!view_->sync_standbys.empty()) break;
    co_await wake_all(before.loop_wait, [](const Target&) { return true; });
  }
}

Task<void> Supervisor::replace_standby(Decision decision) {
  auto seen = co_await dcs_.view(Quorum::Yes);
  if (!seen) co_return;
  view_ = *seen;
  const auto* standby = seen->member(decision.member);
  if (!standby || standby->no_sync || !std::ranges::count(seen->sync_standbys, decision.member)) co_return;
  // Its PostgreSQL may be frozen with the connection open: the leader would wait for it.
  if (co_await dcs_.tag_member(*standby, "nosync") != Changed::Yes) co_return;
  const auto leader_site = seen->leader_site();
  co_await wake_all(seen->loop_wait, [&](const Target& t) { return t.site.name == leader_site; });
  standbys_.add();
  log::warn("had a silent synchronous standby replaced", {{"site", decision.site}, {"member", decision.member}});
  if (auto after = co_await dcs_.view(Quorum::No)) view_ = *std::move(after);
}

/// A site that loses both the primary and etcd's leader costs an election on top. With three sites there is
/// one that has neither the primary nor its standby: etcd's leader belongs there.
Task<void> Supervisor::settle_etcd_leader() {
  if (!view_ || targets_.size() < 3) co_return;
  const auto primary = view_->leader_site();
  const auto standby = view_->sync_site();
  if (primary.empty() || standby.empty() || (options_.own != primary && options_.own != standby)) co_return;
  const Target* best = nullptr;
  for (const auto& t : targets_) {
    if (silent(*t)) co_return;
    if (t->site.name != primary && t->site.name != standby) best = t.get();
  }
  const auto* own = target(options_.own);
  if (!best || !own) co_return;
  struct Stats {
    static Task<json::object> of(Asker& asker, std::string url) {
      const auto a = co_await asker.ask({.url = url + "/v2/stats/self"});
      co_return parse_json_object(a.body).value_or(json::object());
    }
  };
  const auto ours = co_await Stats::of(dcs_.asker(), own->site.etcd);
  if (get_string(ours, "state") != "StateLeader") co_return;
  const auto theirs = co_await Stats::of(dcs_.asker(), best->site.etcd);
  const auto id = std::string(get_string(theirs, "id").value_or(""));
  if (get_string(theirs, "state") != "StateFollower" || id.empty()) co_return;
  const auto number = std::strtoull(id.c_str(), nullptr, 16);
  const auto moved = co_await dcs_.asker().ask({.method = "POST",
                                                .url = own->site.etcd + "/v3/maintenance/transfer-leadership",
                                                .body = to_text(json::object{{"targetID", std::to_string(number)}}),
                                                .content_type = "application/json",
                                                .timeout = seconds(2)});
  if (moved.ok()) {
    log::info("moved etcd's leader away from the database's sites", {{"from", options_.own}, {"to", best->site.name}});
  }
}

}  // namespace haechi::cluster
