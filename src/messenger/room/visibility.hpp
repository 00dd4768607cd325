#pragma once
// Who may see which event: by the room's history visibility and the user's
// membership as they were at the event, not as they are now.
// https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility

#include <string>
#include <vector>

#include "messenger/room/rooms.hpp"

namespace haechi::messenger {

enum class HistoryVisibility : unsigned char { WorldReadable, Shared, Invited, Joined };

/// The history of what decides about one user in one room, read once.
class Seer {
 public:
  Seer(std::string user, std::vector<EventPtr> visibilities, std::vector<EventPtr> memberships);
  bool sees(const Event& event) const;
  /// The user's membership as it was after `pos`.
  Membership membership_at(Position pos) const;
  /// True when the user has ever joined, or may look without (world readable now).
  bool sees_anything() const;

 private:
  struct Step {
    Position pos;
    HistoryVisibility visibility;
  };
  struct Stay {
    Position pos;
    Membership membership;
  };
  HistoryVisibility visibility_at(Position pos) const;
  std::string user_;
  std::vector<Step> steps_;
  std::vector<Stay> stays_;
};

class Visibility {
 public:
  explicit Visibility(Rooms& rooms) : rooms_(rooms) {}

  /// No SQL where the user joined before everything that memory holds, or the
  /// deciding state never changed.
  Task<Result<Seer>> seer(RoomPtr room, std::string user);
  /// Those of `events` that the user may see, in the same order.
  Task<Result<std::vector<EventPtr>>> filter(RoomPtr room, std::string user, std::vector<EventPtr> events);
  /// Errc::NotFound when not (the specification hides what may not be seen).
  Task<Result<>> require(RoomPtr room, std::string user, EventPtr event);

 private:
  Rooms& rooms_;
};

}  // namespace haechi::messenger
