#pragma once
// Who is typing: in memory of the node, gone after a time.

#include <memory>
#include <string>

#include "messenger/user/users.hpp"

namespace haechi::messenger {

/// Loop thread only. What is begun or ended here the other nodes hear, a moment's worth at a time.
class Typing final : public RoomObserver {
 public:
  Typing(Loop& loop, Rooms& rooms, Users& users, journal::Journal& journal)
      : loop_(loop), rooms_(rooms), users_(users), journal_(journal) {}

  /// Before the journal starts.
  void start();

  void begin(RoomPtr room, std::string user, Duration for_time);
  void end(Room& room, std::string_view user);

  void on_event(Room& room, const EventPtr& event) override;

 private:
  struct Busy {
    RoomPtr room;  ///< held, so that nobody's typing is forgotten with an evicted room
    TimerQueue::Timer timer;
  };
  void set(const RoomPtr& room, std::string user, Duration for_time);
  void unset(Room& room, std::string_view user);
  /// To the other nodes: 0 ends it.
  void say(std::int64_t room_num, std::string_view user, std::int64_t for_ms);
  void say_now();
  void hear(std::string_view message);
  void tell(Room& room);
  void arm(Room& room);
  void expire(std::int64_t room_num);

  Loop& loop_;
  Rooms& rooms_;
  Users& users_;
  journal::Journal& journal_;
  std::unordered_map<std::int64_t, std::unique_ptr<Busy>> busy_;
  std::unordered_map<std::int64_t, TextMap<std::int64_t>> unsaid_;  ///< room -> user -> for how many ms
  TimerQueue::Timer say_timer_;
};

}  // namespace haechi::messenger
