#include "cluster/hand_over.hpp"

#include "base/json.hpp"

namespace haechi::cluster {
namespace {

using std::chrono::milliseconds;

constexpr auto kLook = milliseconds(20);
constexpr auto kWakeAgain = milliseconds(300);

/// What the errands of one hand-over tell each other.
struct Move {
  std::optional<Answer> answer;  ///< Patroni's
  bool over = false;
};

/// Patroni answers only when all is over; what happens is seen in etcd before.
Task<void> request(Dcs& dcs, const Site& site, std::string leader, std::string candidate, Move& move,
                   Duration at_most) {
  move.answer = co_await dcs.asker().ask({.method = "POST",
                                          .url = site.patroni + "/switchover",
                                          .body = to_text(json::object{{"leader", leader}, {"candidate", candidate}}),
                                          .content_type = "application/json",
                                          .timeout = at_most});
}

Task<void> wake(Dcs& dcs, const Site& site, std::int64_t loop_wait) { co_await dcs.wake(site, loop_wait); }

/// Watches the old leader go. When its database begins to shut down, `third` looks once more, so that its next
/// look falls after the moment in which nobody leads: a member that sees that moment pauses for two seconds.
/// When the database has shut down, having sent all it wrote, the leader key is released for it: Patroni itself
/// looks whether that is so only once a second.
Task<void> see_off(Loop& loop, Dcs& dcs, View before, const Site* third, const Move& move) {
  const auto* site = find_site(dcs.sites(), before.leader_site());
  bool stopping = false;
  for (; !move.over; co_await loop.sleep(kLook)) {
    if (!stopping) {
      const auto answer = co_await dcs.asker().ask({.url = site->patroni + "/patroni", .timeout = milliseconds(500)});
      const auto o = parse_json_object(answer.body);
      stopping = o && get_string(*o, "state") == "stopping";
      if (stopping && third && !move.over) co_await dcs.wake(*third, before.loop_wait);
    }
    if (!stopping || move.over) continue;
    const auto listens = co_await dcs.asker().ask(
        {.url = "http://" + site->postgresql, .timeout = milliseconds(300), .connect_only = true});
    if (listens.how != Answer::How::Refused) continue;
    const auto seen = co_await dcs.view(Quorum::Yes);
    if (!seen || move.over) continue;
    if (seen->leader != before.leader) co_return;
    if (co_await dcs.release_leader(before.leader, seen->leader_index) == Changed::Yes) co_return;
  }
}

}  // namespace

Task<Result<Duration>> hand_over(Loop& loop, Dcs& dcs, View before, std::string candidate, Duration at_most) {
  const auto* from = find_site(dcs.sites(), before.leader_site());
  const auto* member = before.member(candidate);
  const auto* to = member ? find_site(dcs.sites(), member->site) : nullptr;
  if (!from || !to) co_return fail(Errc::Conflict, "the database's members do not stand at the addresses of [[sites]]");
  const Site* third = nullptr;
  for (const auto& s : dcs.sites()) {
    if (&s != from && &s != to) third = &s;
  }

  const auto started = loop.now();
  const auto until = started + at_most;
  Move move;
  Scope errands;
  errands.spawn(request(dcs, *from, before.leader, candidate, move, at_most));
  errands.spawn(see_off(loop, dcs, before, third, move));

  Result<Duration> result = fail(Errc::Timeout, "the database was not handed over in time");
  auto next_wake = loop.now();
  while (loop.now() < until) {
    if (move.answer && !move.answer->ok() && move.answer->answered()) {
      result = fail(Errc::Conflict, "Patroni refuses the hand-over: " + move.answer->body.substr(0, 200));
      break;
    }
    const auto seen = co_await dcs.view(Quorum::No);
    if (seen && seen->leader == candidate) {
      result = loop.now() - started;
      break;
    }
    if (seen && seen->leader.empty() && loop.now() >= next_wake) {
      next_wake = loop.now() + kWakeAgain;
      errands.spawn(wake(dcs, *to, before.loop_wait));
    }
    co_await loop.sleep(kLook);
  }
  move.over = true;
  if (result && third) co_await dcs.wake(*third, before.loop_wait);
  // The third member may have looked a moment before the new leader was ready to feed it.
  if (result && third) {
    co_await loop.sleep(milliseconds(250));
    co_await dcs.wake(*third, before.loop_wait);
  }
  co_await errands.join();
  co_return result;
}

}  // namespace haechi::cluster
