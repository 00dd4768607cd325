#include "messenger/history/access.hpp"

#include <algorithm>

#include "messenger/errc.hpp"

namespace haechi::messenger {
namespace {

constexpr std::string_view kVisibility = "m.room.history_visibility";

bool is_world_readable(const Room& room) {
  const Event* e = room.state(kVisibility);
  return e && get_string(e->object(), "history_visibility") == "world_readable";
}

}  // namespace

bool sees_all_from(const Room& room, std::string_view user, Position pos) {
  const Event* member = room.state("m.room.member", user);
  if (!member || member->membership() != "join") return false;
  if (pos >= member->pos) return true;
  const Event* visibility = room.state(kVisibility);
  if (!visibility) return true;
  if (!visibility->replaces_state.empty()) return false;
  const auto v = get_string(visibility->object(), "history_visibility").value_or("shared");
  return v != "joined" && v != "invited";
}

Task<Result<>> Reader::prepare(Visibility& visibility, const std::vector<EventPtr>& events) {
  if (seer_ || events.empty()) co_return {};
  const Event* member = room->state("m.room.member", user->id);
  if (member && member->membership() == "join" &&
      std::ranges::all_of(events, [&](const EventPtr& e) { return e->pos >= member->pos; })) {
    co_return {};
  }
  CO_TRY(auto seer, co_await visibility.seer(room, user->id));
  seer_.emplace(std::move(seer));
  co_return {};
}

bool Reader::sees(const Event& e) const {
  if (!e.is_state() && user->ignored.contains(e.sender)) return false;
  return seer_ ? seer_->sees(e) : sees_all_from(*room, user->id, e.pos);
}

std::string_view Reader::membership_at(Position pos) const {
  if (seer_) {
    const auto m = seer_->membership_at(pos);
    return m == Membership::None ? "leave" : membership_text(m);
  }
  const Event* member = room->state("m.room.member", user->id);
  return member && pos >= member->pos ? member->membership() : std::string_view{};
}

Task<Result<Position>> RoomAccess::left_at(RoomPtr room, std::string user_id) {
  CO_TRY(const auto history, co_await rooms_.state_history(std::move(room), "m.room.member", std::move(user_id)));
  Position left = 0;
  bool was_in = false;
  for (const auto& e : history) {
    const bool in = e->membership() == "join";
    if (was_in && !in) left = e->pos;
    was_in = in;
  }
  co_return left;
}

Task<Result<Reader>> RoomAccess::enter(std::string room_id, std::string user_id) {
  const auto forbidden = [] { return fail(Errc::Forbidden, "You are not in this room"); };
  CO_TRY(auto user, co_await users_.get(user_id));
  auto room = rooms_.find(room_id);
  if (!room) {
    auto found = co_await rooms_.get(std::move(room_id));
    if (!found) {
      // Whether a room exists is nobody's business who is not in it.
      if (found.error().is(Errc::NotFound)) co_return forbidden();
      co_return std::unexpected(std::move(found.error()));
    }
    room = *std::move(found);
  }
  Reader reader;
  reader.room = room;
  reader.user = user;
  if (room->membership(user_id) == Membership::Join) co_return reader;
  if (const auto it = user->rooms.find(room->num); it != user->rooms.end() && it->second.forgotten)
    co_return forbidden();
  if (is_world_readable(*room)) co_return reader;
  if (room->membership(user_id) == Membership::None) co_return forbidden();
  CO_TRY(reader.upto, co_await left_at(room, std::move(user_id)));
  if (reader.upto == 0) co_return forbidden();
  co_return reader;
}

Task<Result<Reader>> RoomAccess::look(std::string room_id, std::string user_id) {
  CO_TRY(auto user, co_await users_.get(std::move(user_id)));
  Reader reader;
  reader.user = std::move(user);
  reader.room = rooms_.find(room_id);
  if (!reader.room) {
    CO_TRY(reader.room, co_await rooms_.get(std::move(room_id)));
  }
  co_return reader;
}

Task<Result<EventPtr>> RoomAccess::event(Reader& reader, std::string event_id) {
  CO_TRY(auto e, co_await rooms_.event(reader.room, std::move(event_id)));
  const std::vector<EventPtr> one{e};
  CO_TRY_DO(co_await reader.prepare(visibility_, one));
  if (!reader.sees(*e)) co_return fail(Errc::NotFound, "No such event");
  co_return e;
}

}  // namespace haechi::messenger
