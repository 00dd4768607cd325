#pragma once
// May this user read this room, and which of its events? Asked by everything
// that shows history or state.

#include <optional>
#include <string>
#include <vector>

#include "messenger/room/visibility.hpp"
#include "messenger/user/users.hpp"

namespace haechi::messenger {

/// True when `user` surely sees every event of the room from `pos` on. Asked of memory alone.
bool sees_all_from(const Room& room, std::string_view user, Position pos);

/// One user who reads one room, for the length of one request. Loop thread only.
class Reader {
 public:
  RoomPtr room;
  UserPtr user;
  /// Events and state past this position are not for this reader: where they left; else no bound.
  Position upto = INT64_MAX;

  /// Call before sees() and membership_at() for these events. Reads SQL only where the
  /// reader came after one of them.
  Task<Result<>> prepare(Visibility& visibility, const std::vector<EventPtr>& events);
  /// Visible and not by somebody the reader ignores.
  bool sees(const Event& e) const;
  /// For unsigned.membership; empty where it is not known.
  std::string_view membership_at(Position pos) const;

 private:
  std::optional<Seer> seer_;
};

/// Holds references only; cheap to have wherever it is needed.
class RoomAccess {
 public:
  RoomAccess(Rooms& rooms, Users& users, Visibility& visibility)
      : rooms_(rooms), users_(users), visibility_(visibility) {}

  /// Members, those who were members (up to where they left) unless they forgot
  /// the room, anybody where the world may read. Errc::Forbidden for everybody
  /// else, also when there is no such room.
  Task<Result<Reader>> enter(std::string room_id, std::string user_id);
  /// Anybody: what they see is decided event by event. Errc::NotFound without such a room.
  Task<Result<Reader>> look(std::string room_id, std::string user_id);
  /// An event that the reader may see; else Errc::NotFound.
  Task<Result<EventPtr>> event(Reader& reader, std::string event_id);

 private:
  Task<Result<Position>> left_at(RoomPtr room, std::string user_id);
  Rooms& rooms_;
  Users& users_;
  Visibility& visibility_;
};

}  // namespace haechi::messenger
