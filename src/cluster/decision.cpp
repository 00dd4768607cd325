#include "cluster/decision.hpp"

#include <algorithm>

namespace haechi::cluster {
namespace {

/// The verdict on a site; that on the own and on unknown ones is that they live.
Verdict on(const Scene& scene, std::string_view site) {
  if (site.empty() || site == scene.own) return {};
  const auto at = scene.others.find(site);
  return at == scene.others.end() ? Verdict{} : at->second;
}

bool past(const Verdict& v, Duration when_refusing, Duration when_silent, Duration more) {
  if (v.silent <= Duration::zero()) return false;
  return v.silent >= (v.refuses ? when_refusing : when_silent) + more;
}

}  // namespace

Decision decide(const Scene& scene, const Limits& limits) {
  // Without a majority of etcd it is we who may be cut off.
  if (scene.etcd_answering * 2 <= scene.etcd_members) return {};
  const auto& view = scene.view;
  if (view.leader.empty()) return {};

  const auto leader_site = view.leader_site();
  const auto leader = on(scene, leader_site);
  const auto sync_site = view.sync_site();
  if (past(leader, limits.leader_refuses, limits.leader_silent, Duration::zero())) {
    // The candidate's own supervisor knows best; where it is silent too, there is none.
    const bool first = sync_site == scene.own;
    if (!first && !past(leader, limits.leader_refuses, limits.leader_silent, limits.second_turn)) return {};
    return {.act = Decision::Act::ReplaceLeader,
            .site = leader_site,
            .member = view.leader,
            .spare_the_question = first && !leader.refuses};
  }
  // While the leader is in doubt, the list of those who may follow it is not touched.
  if (leader.silent > Duration::zero()) return {};

  for (const auto& name : view.sync_standbys) {
    const auto* standby = view.member(name);
    if (!standby || standby->no_sync) continue;
    const auto more = leader_site == scene.own ? Duration::zero() : limits.second_turn;
    if (!past(on(scene, standby->site), limits.standby_refuses, limits.standby_silent, more)) continue;
    return {.act = Decision::Act::ReplaceStandby, .site = standby->site, .member = name};
  }
  return {};
}

}  // namespace haechi::cluster
