#pragma once
// Who is typing: in memory of the node, gone after a time.

#include <memory>
#include <string>

#include "messenger/user/users.hpp"

namespace haechi::messenger {

/// Loop thread only.
class Typing final : public RoomObserver {
 public:
  Typing(Loop& loop, Rooms& rooms, Users& users) : loop_(loop), rooms_(rooms), users_(users) {}

  /// Before the journal starts.
  void start() { rooms_.observe(*this); }

  void begin(RoomPtr room, std::string user, Duration for_time);
  void end(Room& room, std::string_view user);

  void on_event(Room& room, const EventPtr& event) override;

 private:
  struct Busy {
    RoomPtr room;  ///< held, so that nobody's typing is forgotten with an evicted room
    TimerQueue::Timer timer;
  };
  void tell(Room& room);
  void arm(Room& room);
  void expire(std::int64_t room_num);

  Loop& loop_;
  Rooms& rooms_;
  Users& users_;
  std::unordered_map<std::int64_t, std::unique_ptr<Busy>> busy_;
};

}  // namespace haechi::messenger
