#pragma once
// What a node keeps in memory of a user who is in touch: where they are, what
// waits for them, and how far each of their streams has moved. Built from SQL at
// the first need, then kept true by the change feed, dropped when idle.

#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/loop.hpp"
#include "messenger/push/rules.hpp"
#include "messenger/room/room.hpp"

namespace haechi::messenger {

/// Unread counts of one room (and of each thread in it), computed up to a position.
struct Counts {
  std::int64_t notify = 0;
  std::int64_t highlight = 0;
  bool operator==(const Counts&) const = default;
};
struct Unread {
  Position upto = 0;  ///< events up to here are counted; 0: nothing is known yet
  Counts main;
  TextMap<Counts> threads;  ///< by thread root; only with something unread
};

struct RoomRef {
  std::string room_id;
  RoomPtr room;  ///< held while joined; else null
  Membership membership = Membership::None;
  Position pos = 0;  ///< of the membership event
  bool forgotten = false;
  Unread unread;
};

class UserState {
 public:
  UserState(Loop& loop, std::string user_id) : id(std::move(user_id)), loop_(&loop) {}
  UserState(const UserState&) = delete;
  UserState& operator=(const UserState&) = delete;

  const std::string id;
  /// Every room the user has or had to do with; key: room number.
  std::unordered_map<std::int64_t, RoomRef> rooms;
  push::Ruleset rules;
  TextSet ignored;  ///< m.ignored_user_list

  // How far each stream has moved; a sync since a later position need not ask SQL.
  Position account_data_pos = 0;
  Position last_pos = 0;                               ///< newest change of any kind that may concern this user
  TextMap<Position> to_device_pos;                     ///< by device: newest message still there
  Position device_list_pos = 0;                        ///< newest device-list change of anybody whose rooms are shared
  std::int64_t ephemeral_stamp = 0;                    ///< newest typing or presence change, microseconds
  TextMap<TextMap<std::int64_t>> one_time_key_counts;  ///< device -> algorithm -> left; filled on demand
  TextMap<std::vector<std::string>> unused_fallback;   ///< device -> algorithms; filled on demand
  TextMap<Position> one_time_key_pos;                  ///< device -> newest change of these that this node saw

  Instant last_used{};

  /// Rooms in which something moved, newest last: everything after `touched_from`
  /// is here, so that a sync looks at these and not at all rooms.
  struct Touch {
    Position pos;
    std::int64_t room_num;
  };
  std::vector<Touch> touched;
  Position touched_from = 0;
  void note(Position pos, std::int64_t room_num);

  /// Ends every wait of this user: something may be there for them.
  void wake();

  /// A parked request; lives on the stack of its coroutine.
  class Parked {
   public:
    explicit Parked(UserState& user);
    ~Parked();
    Parked(const Parked&) = delete;
    Parked& operator=(const Parked&) = delete;
    Waiter waiter;

   private:
    friend class UserState;
    UserState* user_;
    Parked* prev_ = nullptr;
    Parked* next_ = nullptr;
  };
  std::size_t parked() const { return parked_count_; }

 private:
  Loop* loop_;
  Parked* parked_ = nullptr;
  std::size_t parked_count_ = 0;
};

using UserPtr = std::shared_ptr<UserState>;

}  // namespace haechi::messenger
