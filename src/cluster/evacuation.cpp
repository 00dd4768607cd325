#include "cluster/evacuation.hpp"

#include <fmt/format.h>

#include "base/text.hpp"
#include "cluster/hand_over.hpp"

namespace haechi::cluster {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kLook = milliseconds(500);
/// Monitors and the front's checks keep a few.
constexpr std::int64_t kFewConnections = 4;

Result<> known(const Dcs& dcs, std::string_view site) {
  if (find_site(dcs.sites(), site)) return {};
  std::string names;
  for (const auto& s : dcs.sites()) names += (names.empty() ? "" : ", ") + s.name;
  return fail(Errc::NotFound, fmt::format("there is no site {}; there are: {}", site, names));
}

std::string since(WallMs ms) { return std::to_string(ms); }

/// The synchronous standby in another site.
std::string candidate_outside(const View& view, std::string_view site) {
  for (const auto& name : view.sync_standbys) {
    const auto* m = view.member(name);
    if (m && !m->site.empty() && m->site != site) return name;
  }
  return {};
}

Task<Result<>> move_database(Loop& loop, Dcs& dcs, std::string site, EvacuationOptions options, Tell tell) {
  const auto until = loop.now() + options.step_max;
  CO_TRY(auto view, co_await dcs.view(Quorum::Yes));
  if (view.leader_site() != site) {
    tell(fmt::format("database: the primary is not here, but in site {}", view.leader_site()));
  } else {
    auto candidate = candidate_outside(view, site);
    while (candidate.empty() && loop.now() < until) {
      tell("database: waiting for a synchronous standby in another site");
      co_await loop.sleep(seconds(1));
      CO_TRY(view, co_await dcs.view(Quorum::Yes));
      candidate = candidate_outside(view, site);
    }
    if (candidate.empty()) {
      co_return fail(Errc::Timeout, "no synchronous standby in another site: the database stays; run this again");
    }
    tell(fmt::format("database: handing the primary over from {} to {}", view.leader, candidate));
    CO_TRY(const auto took, co_await hand_over(loop, dcs, view, candidate, until - loop.now()));
    tell(fmt::format("database: {} leads, {:.1f} s after the request", candidate,
                     std::chrono::duration<double>(took).count()));
  }
  // A commit must not need this site any more.
  for (bool told = false; loop.now() < until; co_await loop.sleep(milliseconds(200))) {
    const auto seen = co_await dcs.view(Quorum::No);
    if (!seen) continue;
    if (!candidate_outside(*seen, site).empty()) {
      tell(fmt::format("database: commits are confirmed by {}", seen->sync_standbys.front()));
      co_return Result<>{};
    }
    const auto* here = seen->at_site(site);
    const auto* leader = find_site(dcs.sites(), seen->leader_site());
    if (here && leader && !seen->sync_standbys.empty()) {
      if (co_await dcs.tag_member(*here, "nosync") == Changed::Yes) co_await dcs.wake(*leader, seen->loop_wait);
    }
    if (!std::exchange(told, true)) tell("database: waiting until a standby outside of the site confirms commits");
  }
  if (options.force) {
    tell("database: no standby outside of the site confirms commits yet; going on as --force says");
    co_return Result<>{};
  }
  co_return fail(Errc::Timeout, "no standby outside of the site confirms commits yet; run this again");
}

struct Connected {
  std::int64_t connections = 0;
  std::size_t answering = 0;
};

Task<Connected> connected(Dcs& dcs, const Site& site) {
  Connected out;
  for (const auto& url : site.nodes) {
    const auto answer = co_await dcs.asker().ask({.url = url + "/_haechi/v1/node"});
    const auto o = answer.ok() ? parse_json_object(answer.body) : parse_json_object("");
    if (!o) continue;
    ++out.answering;
    // The question itself is one of them.
    out.connections += std::max<std::int64_t>(get_int(*o, "connections").value_or(1) - 1, 0);
  }
  co_return out;
}

Task<void> wait_for_clients(Loop& loop, Dcs& dcs, const Site& site, Duration at_most, Tell tell) {
  const auto until = loop.now() + at_most;
  std::int64_t told = -1;
  for (;;) {
    const auto now = co_await connected(dcs, site);
    if (now.answering == 0) {
      tell("clients: no node of the site answers");
      co_return;
    }
    if (now.connections <= kFewConnections * static_cast<std::int64_t>(now.answering)) {
      tell(fmt::format("clients: gone, {} connections left", now.connections));
      co_return;
    }
    if (now.connections != std::exchange(told, now.connections)) {
      tell(fmt::format("clients: {} connections", now.connections));
    }
    if (loop.now() >= until) {
      tell(fmt::format("clients: {} connections remain and are served as long as the site stands", now.connections));
      co_return;
    }
    co_await loop.sleep(kLook);
  }
}

}  // namespace

Task<Result<>> evacuate(Loop& loop, Dcs& dcs, std::string site, EvacuationOptions options, Tell tell) {
  CO_TRY_DO(known(dcs, site));
  auto seen = co_await survey(dcs);
  const auto* here = seen.site(site);
  if (const auto prospect = without(seen, site); !prospect.survives) {
    if (!options.force) {
      co_return fail(Errc::Conflict, fmt::format("the platform would not survive without site {}: {} (--force goes on "
                                                 "all the same)",
                                                 site, prospect.why));
    }
    tell(fmt::format("check: the platform would not survive without site {}: {}; going on as --force says", site,
                     prospect.why));
  } else {
    tell(fmt::format("check: the platform survives without site {}", site));
  }
  if (const auto busy = busy_without(seen, site); busy && *busy > 0.9) {
    tell(fmt::format("check: the other sites will be {:.0f} % busy", *busy * 100));
  }
  if (here->state == SiteState::InService) {
    CO_TRY_DO(co_await dcs.mark(site, SiteState::Evacuating, since(options.now_ms)));
    tell("nodes: told; fronts and clients move on");
  } else {
    tell(fmt::format("nodes: were told before, the site is {}", name_of(here->state)));
  }
  CO_TRY_DO(co_await move_database(loop, dcs, site, options, tell));
  co_await wait_for_clients(loop, dcs, *find_site(dcs.sites(), site), options.drain_max, tell);
  CO_TRY_DO(co_await dcs.mark(site, SiteState::Evacuated, since(options.now_ms)));
  tell(
      fmt::format("site {} is evacuated: it may be switched off; `haechi sites return {}` brings it back", site, site));
  co_return Result<>{};
}

Task<Result<>> return_site(Loop& loop, Dcs& dcs, std::string site, EvacuationOptions options, Tell tell) {
  CO_TRY_DO(known(dcs, site));
  const auto until = loop.now() + options.step_max;
  std::string told;
  const auto say = [&](std::string line) {
    if (line != told) tell(told = std::move(line));
  };
  bool marked = false;
  for (; loop.now() < until; co_await loop.sleep(kLook)) {
    const auto seen = co_await survey(dcs);
    const auto* here = seen.site(site);
    const bool database = here->database.role == "primary" || here->database.streaming;
    const bool answering = std::ranges::any_of(here->nodes, &NodeReport::answers);
    if (!here->etcd.healthy) say("etcd: waiting for its member to be healthy");
    else if (!database) say("database: waiting until it streams from the primary");
    else if (!answering) say("nodes: waiting until one answers");
    else if (!marked) {
      if (here->state != SiteState::InService) {
        CO_TRY_DO(co_await dcs.mark(site, SiteState::InService, since(options.now_ms)));
      }
      marked = true;
      tell("etcd and database are whole; nodes: told");
    } else if (here->nodes_ready() < here->nodes.size()) {
      say(fmt::format("nodes: {} of {} ready", here->nodes_ready(), here->nodes.size()));
    } else {
      tell(fmt::format("site {} is in service", site));
      co_return Result<>{};
    }
  }
  co_return fail(Errc::Timeout, fmt::format("site {} is not whole yet: run this again", site));
}

}  // namespace haechi::cluster
