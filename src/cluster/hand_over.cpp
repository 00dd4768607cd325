#include "cluster/hand_over.hpp"

#include "base/json.hpp"

namespace haechi::cluster {
namespace {

using std::chrono::milliseconds;

constexpr auto kLook = milliseconds(20);
constexpr auto kWakeAgain = milliseconds(300);

/// Patroni answers only when all is over; what happens is seen in etcd before.
Task<void> request(Dcs& dcs, const Site& site, std::string leader, std::string candidate, std::optional<Answer>& out,
                   Duration at_most) {
  out = co_await dcs.asker().ask({.method = "POST",
                                  .url = site.patroni + "/switchover",
                                  .body = to_text(json::object{{"leader", leader}, {"candidate", candidate}}),
                                  .content_type = "application/json",
                                  .timeout = at_most});
}

Task<void> wake(Dcs& dcs, const Site& site, std::int64_t loop_wait) { co_await dcs.wake(site, loop_wait); }

/// Until the old leader shuts its database down; then `look_away` looks once more, so that its next look
/// falls after the moment in which nobody leads: a member that sees that moment pauses for two seconds.
Task<void> await_stop(Loop& loop, Dcs& dcs, const Site& old_site, const Site* look_away, std::int64_t loop_wait,
                      const bool& over) {
  while (!over) {
    const auto answer = co_await dcs.asker().ask({.url = old_site.patroni + "/patroni", .timeout = milliseconds(500)});
    const auto o = parse_json_object(answer.body);
    if (o && get_string(*o, "state") == "stopping") {
      if (look_away && !over) co_await dcs.wake(*look_away, loop_wait);
      co_return;
    }
    co_await loop.sleep(kLook);
  }
}

}  // namespace

Task<Result<>> hand_over(Loop& loop, Dcs& dcs, View before, std::string candidate, Duration at_most) {
  const auto* from = find_site(dcs.sites(), before.leader_site());
  const auto* member = before.member(candidate);
  const auto* to = member ? find_site(dcs.sites(), member->site) : nullptr;
  if (!from || !to) co_return fail(Errc::Conflict, "the database's members do not stand at the addresses of [[sites]]");
  const Site* third = nullptr;
  for (const auto& s : dcs.sites()) {
    if (&s != from && &s != to) third = &s;
  }

  const auto until = loop.now() + at_most;
  std::optional<Answer> answer;
  bool over = false;
  Scope errands;
  errands.spawn(request(dcs, *from, before.leader, candidate, answer, at_most));
  errands.spawn(await_stop(loop, dcs, *from, third, before.loop_wait, over));

  Result<> result = fail(Errc::Timeout, "the database was not handed over in time");
  auto next_wake = loop.now();
  while (loop.now() < until) {
    if (answer && !answer->ok() && answer->answered()) {
      result = fail(Errc::Conflict, "Patroni refuses the hand-over: " + answer->body.substr(0, 200));
      break;
    }
    const auto seen = co_await dcs.view(Quorum::No);
    if (seen && seen->leader == candidate) {
      result = {};
      break;
    }
    if (seen && seen->leader.empty() && loop.now() >= next_wake) {
      next_wake = loop.now() + kWakeAgain;
      errands.spawn(wake(dcs, *to, before.loop_wait));
    }
    co_await loop.sleep(kLook);
  }
  over = true;
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
