#include "messenger/accounts/departures.hpp"

#include "base/log.hpp"
#include "messenger/event/event_errc.hpp"

namespace haechi::messenger {
namespace {
constexpr auto kRetryAfter = std::chrono::seconds(30);
constexpr auto kLookAgainAfter = std::chrono::seconds(3);
}  // namespace

Departures::Departures(Loop& loop, identity::Accounts& accounts, Users& users, Rooms& rooms, Writer& writer)
    : loop_(loop), accounts_(accounts), users_(users), rooms_(rooms), writer_(writer), pause_(loop) {}

identity::Hooks Departures::hooks() {
  identity::Hooks hooks;
  // Another node does it, unless that one has ended meanwhile or it was done by a command line, which has
  // no rooms. Who comes second finds the user gone.
  hooks.user_deactivated_elsewhere = [this](std::string_view) {
    if (look_again_.armed() || stopping_) return;
    loop_.timers().arm(look_again_, loop_.now() + kLookAgainAfter, [this] { scope_.spawn(resume()); });
  };
  hooks.user_deactivated = [this](std::string_view user_id, identity::Erase) { enqueue(std::string(user_id)); };
  return hooks;
}

Task<void> Departures::resume() {
  auto pending = co_await accounts_.deactivated_pending();
  if (!pending) {
    log::error("departures of deactivated users cannot be read", {{"error", pending.error().message}});
    co_return;
  }
  for (auto& user : *pending) enqueue(std::move(user.user_id));
}

Task<void> Departures::stop() {
  stopping_ = true;
  if (look_again_.armed()) loop_.timers().disarm(look_again_);
  pause_.notify();
  co_await scope_.join();
}

void Departures::enqueue(std::string user_id) {
  if (stopping_) return;
  waiting_.push_back(std::move(user_id));
  if (!std::exchange(working_, true)) scope_.spawn(work());
}

Task<void> Departures::work() {
  // The caller follows the feed: nothing may be written before it has returned.
  (void)co_await pause_.wait(loop_.now());
  while (!waiting_.empty() && !stopping_) {
    const std::string user_id = std::move(waiting_.front());
    waiting_.pop_front();
    auto left = co_await leave_all(user_id);
    if (left) left = co_await accounts_.deactivated_done(user_id);
    if (left) continue;
    log::warn("a deactivated user is still in rooms", {{"user", user_id}, {"error", left.error().message}});
    waiting_.push_back(user_id);
    if (!stopping_) (void)co_await pause_.wait(loop_.now() + kRetryAfter);
  }
  working_ = false;
}

Task<Result<>> Departures::leave_all(std::string user_id) {
  CO_TRY(const auto user, co_await users_.get(user_id));
  std::vector<std::string> room_ids;
  for (const auto& [num, ref] : user->rooms) {
    using enum Membership;
    if (ref.membership == Join || ref.membership == Invite || ref.membership == Knock) room_ids.push_back(ref.room_id);
  }
  for (const auto& room_id : room_ids) {
    if (stopping_) co_return fail(haechi::Errc::Cancelled, "shutting down");
    CO_TRY(const auto room, co_await rooms_.get(room_id));
    const auto now = room->membership(user_id);
    if (now != Membership::Join && now != Membership::Invite && now != Membership::Knock) continue;
    NewEvent leave;
    leave.sender = user_id;
    leave.type = "m.room.member";
    leave.state_key = user_id;
    leave.content["membership"] = "leave";
    const auto sent = co_await writer_.send(room, std::move(leave));
    // A room whose rules do not let them go would refuse for ever.
    if (!sent && !sent.error().is(EventErrc::Forbidden)) co_return std::unexpected(sent.error());
  }
  co_return Result<>();
}

}  // namespace haechi::messenger
