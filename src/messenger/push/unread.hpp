#pragma once
// Unread counts, counted late: when somebody asks, for the events that came
// since the last time. A message to three thousand people costs nothing here
// until they look; what the rules ask about the moment of sending (how many were
// in the room, whether the sender might notify all) is kept with the event.

#include <array>

#include "messenger/account/ports.hpp"

namespace haechi::messenger {

class UnreadCounter final : public UnreadReader {
 public:
  explicit UnreadCounter(Rooms& rooms) : rooms_(rooms) {}

  Task<Result<const Unread*>> unread(UserPtr user, RoomPtr room) override;

  /// Counts what memory holds with the rules of now: called before rules change,
  /// because an event is judged by the rules under which it came.
  /// `upto`: where the rules changed, as far as it is known.
  void settle(UserState& user, Position upto = INT64_MAX);
  /// The user's receipt moved, or they forgot the room: count anew when asked.
  static void forget(UserState& user, std::int64_t room_num);

  /// What the user's rules say of one event: for pushes and the list of notifications.
  push::Actions judge(const UserState& user, const Room& room, const EventPtr& event);

 private:
  /// The parsed form of events that were judged lately, shared by all who are asked.
  struct Parsed {
    EventPtr event;
    json::object content;
    std::optional<push::EventView> view;
  };
  const push::EventView& view_of(const Room& room, const EventPtr& event);
  void count(UserState& user, const Room& room, Unread& unread, const EventPtr& event);

  Rooms& rooms_;
  std::array<Parsed, 64> parsed_;
};

}  // namespace haechi::messenger
