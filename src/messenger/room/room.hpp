#pragma once
// One room in memory: what it is now, its newest events, who looks at it.
//
// Two views of "now": *committed* is what anybody may be shown; *head* adds the
// events in flight (built and queued, not yet durable), because the next event
// must be authorised against them and follow them. When a commit fails, the
// flight is forgotten and the head falls back to what is committed.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/loop.hpp"
#include "base/text.hpp"
#include "messenger/event/auth.hpp"
#include "messenger/room/event.hpp"
#include "messenger/room/membership.hpp"

namespace haechi::messenger {

class UserState;

template <class V>
using TextMap = std::unordered_map<std::string, V, StringHash, std::equal_to<>>;
using TextSet = std::unordered_set<std::string, StringHash, std::equal_to<>>;

struct Receipt {
  std::string event_id;
  Position event_pos = 0;
  WallMs ts = 0;
  Position pos = 0;  ///< when it came, in the order of all changes
};
/// One user's receipts in a room; key: (type, thread id or "").
using UserReceipts = std::map<std::pair<std::string, std::string>, Receipt>;

class Room {
 public:
  using StateByKey = TextMap<EventPtr>;
  using StateMap = TextMap<StateByKey>;  ///< type -> state_key -> event

  Room(std::int64_t room_num, std::string room_id, const RoomVersion& room_version)
      : num(room_num), id(std::move(room_id)), version(room_version) {}

  const std::int64_t num;
  const std::string id;
  const RoomVersion& version;

  // -- committed ------------------------------------------------------------
  const StateMap& state() const { return state_; }
  /// Null when there is none.
  const Event* state(std::string_view type, std::string_view key = "") const;
  EventPtr state_ptr(std::string_view type, std::string_view key = "") const;
  Membership membership(std::string_view user) const;
  const StateByKey& members() const;  ///< every m.room.member, whatever the membership
  std::size_t joined_count() const { return joined_count_; }
  std::size_t invited_count() const { return invited_count_; }
  bool encrypted() const { return state("m.room.encryption") != nullptr; }
  /// Of the committed state. A view: valid until the state changes.
  PowerLevels power_levels() const;
  std::string_view creator() const;

  /// Events with pos >= timeline_from(), oldest first, none missing.
  const std::deque<EventPtr>& timeline() const { return timeline_; }
  Position timeline_from() const { return timeline_from_; }
  Position last_pos() const { return last_pos_; }
  /// Null when it is not among the newest.
  EventPtr recent_at(Position pos) const;
  /// Position of the newest state event; 0 when none.
  Position last_state_pos() const { return last_state_pos_; }

  // -- head: committed plus in flight ----------------------------------------
  EventPtr head_state(std::string_view type, std::string_view key = "") const;
  Membership head_membership(std::string_view user) const;
  const std::string& head_event_id() const { return flight_.empty() ? last_event_id_ : flight_.back()->event_id; }
  std::int64_t head_depth() const { return flight_.empty() ? last_depth_ : flight_.back()->depth; }
  std::size_t head_joined_count() const;
  bool has_flight() const { return !flight_.empty(); }

  void take_off(std::shared_ptr<Event> e) { flight_.push_back(std::move(e)); }
  /// The commit happened: the event (whose pos is set) becomes visible.
  void land(const std::shared_ptr<Event>& e);
  /// The event was not committed.
  void crash(const std::shared_ptr<Event>& e) { std::erase(flight_, e); }
  /// Another node was quicker: what is in flight was decided without its event and will be refused.
  void drop_flight() { flight_.clear(); }
  /// A redaction was applied to `target`: `redacted` takes its place wherever it is held.
  void replace(const EventPtr& redacted);

  // -- loading ---------------------------------------------------------------
  void load_state(std::vector<EventPtr> state);
  /// `events` oldest first; `from` as timeline_from().
  void load_timeline(std::vector<EventPtr> events, Position from);
  /// The position at which the room was read: what the feed tells up to there is in it already.
  Position loaded_upto = 0;

  // -- who looks --------------------------------------------------------------
  /// Users in memory for whom an event of this room may matter (joined here).
  std::vector<UserState*> online;
  void add_online(UserState& u);
  void remove_online(UserState& u);

  // -- ephemeral and per-user -------------------------------------------------
  TextMap<UserReceipts> receipts;
  Position last_receipt_pos = 0;
  /// Who types until when, and the stamp (microseconds) of the last change.
  struct Typing {
    TextMap<Instant> until;
    std::int64_t stamp = 0;
  } typing;
  /// Users in this room with at least one pusher: looked at when an event lands.
  TextSet pushed_users;
  /// Event ids (in or near the timeline) that other events relate to; see relations/.
  TextSet parents;

  /// Newest events kept in memory.
  static constexpr std::size_t kTimelineMax = 200;

 private:
  void set_state(const EventPtr& e);
  StateMap state_;
  std::deque<EventPtr> timeline_;
  Position timeline_from_ = 0;
  Position last_pos_ = 0;
  Position last_state_pos_ = 0;
  std::string last_event_id_;
  std::int64_t last_depth_ = 0;
  std::vector<std::shared_ptr<Event>> flight_;
  std::size_t joined_count_ = 0;
  std::size_t invited_count_ = 0;
};

using RoomPtr = std::shared_ptr<Room>;

}  // namespace haechi::messenger
