#pragma once
#include <memory>
#include <string>

#include "journal/journal.hpp"
#include "messenger/room/rooms.hpp"
#include "messenger/user/user_state.hpp"
#include "store/store.hpp"

namespace haechi::messenger {

/// The users this node keeps in memory. Loop thread only. Observes rooms: after
/// every event it moves the streams of those for whom it matters and wakes them.
class Users final : public RoomObserver {
 public:
  Users(Loop& loop, store::Readers& readers, Rooms& rooms);
  ~Users() override;

  /// Follows the feed; call before the journal starts, after Rooms::start.
  void start(journal::Journal& journal);

  /// Null when not in memory.
  UserState* find(std::string_view user_id) const;
  /// Loads what is missing, the rooms the user is joined to included.
  Task<Result<UserPtr>> get(std::string user_id);

  /// Something other than a room event concerns this user: note it and wake them.
  void touch(std::string_view user_id, Position pos);
  /// Users who share a room with `user_id` and are in memory, themselves included.
  std::vector<UserState*> sharing(std::string_view user_id) const;
  /// A stamp later than every one given before, in microseconds of wall time.
  std::int64_t next_stamp();
  std::int64_t last_stamp() const { return last_stamp_; }

  void on_event(Room& room, const EventPtr& event) override;
  void on_loaded(Room& room) override;
  void on_unseen(const Unseen& unseen) override;
  /// Before the journal stops.
  Task<void> stop() { return scope_.join(); }

  std::size_t in_memory() const { return users_.size(); }
  std::size_t parked() const;

 private:
  struct Sweep;
  class Reading;
  void moved_while_read(std::string_view user_id);
  void follow(std::span<const journal::Entry> entries);
  void on_member(Room& room, const Event& event);
  /// Reads a room that a user in memory joined on another node.
  Task<void> fetch(std::int64_t room_num);
  void sweep();
  Loop& loop_;
  store::Readers& readers_;
  Rooms& rooms_;
  journal::Journal* journal_ = nullptr;
  TextMap<UserPtr> users_;
  struct Moves {
    int readers = 0;
    std::uint64_t moves = 0;
  };
  TextMap<Moves> reading_;  ///< users who are just read from SQL
  /// Rooms that are not in memory yet, and users in memory who have joined them on another node.
  std::unordered_map<std::int64_t, TextSet> awaited_;
  Scope scope_;
  std::int64_t last_stamp_ = 0;
  TimerQueue::Timer sweep_timer_;
};

}  // namespace haechi::messenger
