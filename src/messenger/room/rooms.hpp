#pragma once
// Every room of this server, as far as somebody needed it lately. Rooms are
// loaded once and then follow the change feed.

#include <deque>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/task.hpp"
#include "journal/journal.hpp"
#include "messenger/room/room.hpp"
#include "store/late_index.hpp"
#include "store/store.hpp"

namespace haechi::messenger {

namespace repo {
class EventRow;
}

/// What a committed event carries through the journal to the followers of this node.
struct EventLanded final : journal::Payload {
  RoomPtr room;
  std::shared_ptr<Event> event;
  /// For an applied redaction: the target as it stands now.
  std::shared_ptr<Event> redacted;
};

/// Told of every event of a loaded room once it is committed and the room's
/// memory is true. Called on the loop in the order of positions.
class RoomObserver {
 public:
  virtual ~RoomObserver() = default;
  virtual void on_event(Room& room, const EventPtr& event) = 0;
  /// After on_event(), where this node committed the event: of all nodes exactly one is told.
  virtual void on_own_event(Room&, const EventPtr& /*event*/) {}
  /// A redaction took effect on `redacted` (the new form).
  virtual void on_redacted(Room&, const EventPtr& /*redacted*/) {}
  virtual void on_loaded(Room&) {}
  /// Another node wrote into a room that is not in memory here.
  struct Unseen {
    std::int64_t room_num = 0;
    Position pos = 0;
    std::string room_id;  ///< with `member` only
    EventPtr member;      ///< for an m.room.member: the event
  };
  virtual void on_unseen(const Unseen&) {}
  /// An entry of the feed that came while the room was read; before on_loaded().
  virtual void on_missed(Room&, const journal::Entry& /*receipt*/) {}
};

enum class Direction { Backward, Forward };

/// Loop thread only. Lifecycle: construct, start() once the journal exists, use.
class Rooms {
 public:
  /// `index_segment`: events that a late index moves to its table at a time.
  explicit Rooms(store::Readers& readers, std::size_t index_segment = 131'072);

  /// Reads what the late indexes have not got yet, hands them to the journal for
  /// upkeep and follows the feed.
  Result<> start(store::Database& db, journal::Journal& journal);
  void observe(RoomObserver& observer) { observers_.push_back(&observer); }

  /// Null when not in memory.
  RoomPtr find(std::string_view room_id) const;
  RoomPtr find(std::int64_t num) const;
  /// Errc::NotFound for a room this server does not have.
  Task<Result<RoomPtr>> get(std::string room_id);
  /// In the order asked for; rooms that do not exist are left out.
  Task<Result<std::vector<RoomPtr>>> get_all(std::vector<std::int64_t> nums);

  /// For a room just made: the number it will have, and its place in memory.
  Task<Result<std::int64_t>> next_num();
  RoomPtr add_new(std::int64_t num, std::string room_id, const RoomVersion& version);
  void drop_new(std::string_view room_id);

  // Reads of what is committed. Positions that do not exist are left out.
  /// Errc::NotFound; also for an event of another room.
  Task<Result<EventPtr>> event(RoomPtr room, std::string event_id);
  /// The room is found from the event.
  Task<Result<std::pair<RoomPtr, EventPtr>>> event_anywhere(std::string event_id);
  Task<Result<std::vector<EventPtr>>> events_at(RoomPtr room, std::vector<Position> positions);
  /// Events with from <= pos < to: the newest `limit` of them, newest first
  /// (Backward), or the oldest, oldest first (Forward).
  Task<Result<std::vector<EventPtr>>> range(RoomPtr room, Position from, Position to, std::size_t limit, Direction dir);
  /// The whole state as it was after the event at `pos`.
  Task<Result<std::vector<EventPtr>>> state_at(RoomPtr room, Position pos);
  /// For each piece of state set with after < pos <= upto: its newest setting within.
  Task<Result<std::vector<EventPtr>>> state_between(RoomPtr room, Position after, Position upto);
  /// One piece of state as it was after the event at `pos`; null when unset then.
  Task<Result<EventPtr>> state_event_at(RoomPtr room, std::string type, std::string key, Position pos);
  /// Every setting of one piece of state, oldest first: for history visibility.
  Task<Result<std::vector<EventPtr>>> state_history(RoomPtr room, std::string type, std::string key);

  /// For reads that go through many rooms at once (search): find_recent() on the loop,
  /// then find_stored() on a reader thread.
  const store::LateIndex& by_room() const { return by_room_; }

  template <class F>
  void each_in_memory(F f) const {
    for (const auto& [num, room] : by_num_) f(*room);
  }
  std::size_t in_memory() const { return by_num_.size(); }

 private:
  class Loading;
  void follow(std::span<const journal::Entry> entries);
  void landed(const EventLanded& what);
  /// An event that another node committed.
  void follow_stored(const journal::Entry& entry, const repo::EventRow& row);
  void unseen(const repo::EventRow& row);
  void add_to_indexes(std::string_view event_id, std::int64_t room_num, Position pos);
  void keep_missed(const journal::Entry& entry);
  void catch_up(Room& room);
  RoomPtr adopt(RoomPtr loaded);
  void evict_some();

  store::Readers& readers_;
  store::LateIndex by_event_id_;
  store::LateIndex by_room_;
  TextMap<RoomPtr> by_id_;
  std::unordered_map<std::int64_t, RoomPtr> by_num_;
  std::vector<RoomObserver*> observers_;
  journal::Journal* journal_ = nullptr;
  std::int64_t last_num_ = 0;
  std::vector<std::int64_t> reserved_nums_;  ///< where other nodes make rooms too; newest first
  int loads_ = 0;                            ///< reads of rooms under way
  /// What came while rooms were read, for rooms that were not in memory.
  std::deque<journal::Entry> missed_;
  Position missed_from_ = 0;     ///< of what came up to here some is no longer in missed_
  std::size_t next_bucket_ = 0;  ///< of by_num_, where evict_some() goes on
  Position head_ = 0;
  Position indexed_ = 0;  ///< every event up to here is in the late indexes
};

/// For callers who must not learn whether a room exists: Errc::NotFound becomes
/// Errc::Forbidden. That this node cannot read just now stays what it is.
std::unexpected<Error> not_in_room(Error error);

/// The late-index key of an event id. Part of what is stored: never change it.
std::uint64_t event_key(std::string_view event_id);

}  // namespace haechi::messenger
