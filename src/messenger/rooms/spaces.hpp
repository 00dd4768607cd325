#pragma once
// What a room looks like from outside: its summary, and the tree of a space.
// https://spec.matrix.org/v1.19/client-server-api/#spaces

#include "messenger/room/rooms.hpp"

namespace haechi::messenger {

/// Children of a space that count (they name servers to ask), in the order of the
/// specification: valid `order` first, then the time of the event, then the room id.
std::vector<EventPtr> ordered_children(const Room& space);

/// The members that room_summary, hierarchy and publicRooms share.
json::object room_summary(const Room& room);

class Spaces {
 public:
  explicit Spaces(Rooms& rooms) : rooms_(rooms) {}

  struct Walk {
    std::size_t limit = 50;
    std::size_t max_depth = 50;
    bool suggested_only = false;
    std::string from;  ///< opaque; empty to begin
  };
  struct Page {
    json::array rooms;
    std::string next;  ///< empty at the end
  };
  /// Errc::Forbidden when the user may not see the root, Errc::InvalidParam for a token that is not of this walk.
  Task<Result<Page>> hierarchy(std::string root, std::string user, Walk walk);
  /// `user` empty: somebody without an account. Errc::NotFound also for what may not be seen.
  Task<Result<json::object>> summary(std::string room_id, std::string user);

  /// Joined, invited, or open to whoever asks: public, knockable, world readable, or restricted to rooms they are in.
  Task<bool> may_look(RoomPtr room, std::string user);

 private:
  Rooms& rooms_;
};

}  // namespace haechi::messenger
