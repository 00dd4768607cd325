#include "messenger/room/visibility.hpp"

#include <algorithm>

#include "messenger/errc.hpp"

namespace haechi::messenger {
namespace {

HistoryVisibility visibility_of(const Event& e) {
  const auto v = get_string(e.object(), "history_visibility").value_or("shared");
  if (v == "world_readable") return HistoryVisibility::WorldReadable;
  if (v == "invited") return HistoryVisibility::Invited;
  if (v == "joined") return HistoryVisibility::Joined;
  return HistoryVisibility::Shared;
}

}  // namespace

Seer::Seer(std::string user, std::vector<EventPtr> visibilities, std::vector<EventPtr> memberships)
    : user_(std::move(user)) {
  for (const auto& e : visibilities) steps_.push_back({e->pos, visibility_of(*e)});
  for (const auto& e : memberships) stays_.push_back({e->pos, membership_of(e->membership())});
}

HistoryVisibility Seer::visibility_at(Position pos) const {
  auto now = HistoryVisibility::Shared;
  for (const auto& s : steps_) {
    if (s.pos > pos) break;
    now = s.visibility;
  }
  return now;
}

Membership Seer::membership_at(Position pos) const {
  auto now = Membership::None;
  for (const auto& s : stays_) {
    if (s.pos > pos) break;
    now = s.membership;
  }
  return now;
}

bool Seer::sees_anything() const {
  return visibility_at(INT64_MAX) == HistoryVisibility::WorldReadable ||
         std::ranges::any_of(stays_, [](const Stay& s) { return s.membership == Membership::Join; });
}

bool Seer::sees(const Event& event) const {
  const Position at = event.pos;
  const auto allows = [&](HistoryVisibility v, Membership m) {
    if (v == HistoryVisibility::WorldReadable || m == Membership::Join) return true;
    if (v == HistoryVisibility::Invited) return m == Membership::Invite;
    if (v != HistoryVisibility::Shared) return false;
    return std::ranges::any_of(stays_, [&](const Stay& s) { return s.pos > at && s.membership == Membership::Join; });
  };
  // An event that changes what decides is judged by before and after; the kinder one counts.
  const bool own_membership = event.is_state("m.room.member", user_);
  const bool sets_visibility = event.is_state("m.room.history_visibility", "");
  const auto v_after = visibility_at(at);
  const auto v_before = sets_visibility ? visibility_at(at - 1) : v_after;
  const auto m_after = membership_at(at);
  const auto m_before = own_membership ? membership_at(at - 1) : m_after;
  if (own_membership && m_after != Membership::None) return true;  // sync has shown it to them anyway
  return allows(v_after, m_after) || allows(v_before, m_before);
}

Task<Result<Seer>> Visibility::seer(RoomPtr room, std::string user) {
  const auto one = [](EventPtr e) { return e ? std::vector<EventPtr>{std::move(e)} : std::vector<EventPtr>{}; };
  const auto visibility = room->state_ptr("m.room.history_visibility");
  const auto member = room->state_ptr("m.room.member", user);
  // The first setting of a key has no predecessor: then it is its whole history.
  auto visibilities = one(visibility);
  if (visibility && !visibility->replaces_state.empty()) {
    CO_TRY(visibilities, co_await rooms_.state_history(room, "m.room.history_visibility", ""));
  }
  auto memberships = one(member);
  if (member && !member->replaces_state.empty()) {
    CO_TRY(memberships, co_await rooms_.state_history(room, "m.room.member", user));
  }
  co_return Seer(std::move(user), std::move(visibilities), std::move(memberships));
}

Task<Result<std::vector<EventPtr>>> Visibility::filter(RoomPtr room, std::string user, std::vector<EventPtr> events) {
  const auto member = room->state_ptr("m.room.member", user);
  if (member && member->membership() == "join" &&
      std::ranges::all_of(events, [&](const EventPtr& e) { return e->pos >= member->pos; })) {
    co_return events;
  }
  CO_TRY(auto seer, co_await this->seer(room, std::move(user)));
  std::erase_if(events, [&](const EventPtr& e) { return !seer.sees(*e); });
  co_return events;
}

Task<Result<>> Visibility::require(RoomPtr room, std::string user, EventPtr event) {
  std::vector<EventPtr> one{std::move(event)};
  CO_TRY(auto seen, co_await filter(std::move(room), std::move(user), std::move(one)));
  if (seen.empty()) co_return fail(Errc::NotFound, "No such event");
  co_return {};
}

}  // namespace haechi::messenger
