#pragma once
// All SQL of rooms and events. Reads run on reader threads, writes inside the
// journal's transaction; neither touches memory state.

#include <optional>
#include <string>
#include <vector>

#include "messenger/room/event.hpp"
#include "store/late_index.hpp"
#include "store/store.hpp"

namespace haechi::messenger::repo {

using store::Connection;

/// An event's row as it came from the database: parsed on the loop, and only where it is needed.
class EventRow final : public journal::Payload {
 public:
  explicit EventRow(const store::Row& row);
  std::string_view event_id() const { return part(0, id_end_); }
  std::string_view pdu() const { return part(id_end_, pdu_end_); }
  std::string_view extra() const { return part(pdu_end_, extra_end_); }
  /// As event_row() of the repository makes it. Throws on damaged JSON.
  std::shared_ptr<Event> event() const;
  /// Whether the event may be of that type: no is certain.
  bool may_be(std::string_view type) const;
  /// Whether it is a piece of state.
  bool is_state() const;
  /// For a redaction that was applied: where its target stands; 0 when it does not say.
  Position redacts_pos() const;

  Position pos = 0;
  std::int64_t room_num = 0;
  /// What the redaction took effect on, as its row was when this one was read.
  std::shared_ptr<const EventRow> target;

 private:
  std::string_view part(std::size_t from, std::size_t to) const {
    return std::string_view(text_).substr(from, to - from);
  }
  std::string text_;
  std::size_t id_end_ = 0;
  std::size_t pdu_end_ = 0;
  std::size_t extra_end_ = 0;
};

struct RoomRow {
  std::int64_t num = 0;
  std::string room_id;
  std::string version;
};
struct LoadedRoom {
  RoomRow row;
  Position head = 0;  ///< the newest position of the state of the database that was read
  std::vector<EventPtr> state;
  std::vector<EventPtr> timeline;  ///< oldest first
  Position timeline_from = 0;
  struct StoredReceipt {
    std::string user, type, thread, event_id;
    Position event_pos, pos;
    WallMs ts;
  };
  std::vector<StoredReceipt> receipts;
  std::vector<std::string> parents;
};

std::optional<RoomRow> room_by_id(Connection& c, std::string_view room_id);
std::optional<RoomRow> room_by_num(Connection& c, std::int64_t num);
std::int64_t last_room_num(Connection& c);
/// Newest events that a room is loaded with.
inline constexpr std::size_t kTimelineLoaded = 30;
/// What the index knew of a room when the loop was asked.
struct IndexedPart {
  std::vector<Position> recent;  ///< newest positions of the room still in the index's memory, ascending
  Position stored_to = 0;        ///< where its table ends
  Position upto = 0;             ///< later events are not in the index yet
};
LoadedRoom load_room(Connection& c, RoomRow row, const store::LateIndex& by_room, IndexedPart indexed);
/// The newest position of the state of the database that this transaction sees.
Position journal_head(Connection& c);

EventPtr event_at(Connection& c, Position pos);
/// Verified against the row.
EventPtr event_by_id(Connection& c, const store::LateIndex& by_id, std::string_view event_id,
                     std::span<const Position> recent);
std::vector<EventPtr> events_at(Connection& c, std::span<const Position> positions);
/// Completes events that were redacted with the redaction as clients see it.
void attach_redactions(Connection& c, std::vector<EventPtr>& events);

std::vector<Position> state_positions(Connection& c, std::int64_t room, Position upto);
std::vector<Position> state_positions_between(Connection& c, std::int64_t room, Position after, Position upto);
std::optional<Position> state_position_at(Connection& c, std::int64_t room, std::string_view type, std::string_view key,
                                          Position upto);
std::vector<Position> state_history(Connection& c, std::int64_t room, std::string_view type, std::string_view key);

/// Rows for rebuilding the late indexes: (pos, room, event id) past `after`, in order.
void each_event_ref(Connection& c, Position after,
                    const std::function<void(Position, std::int64_t, std::string_view)>& f);

/// What `events.extra` holds of a redaction that applies to the event at `target`.
std::string extra_of_redaction(const Event& redaction, Position target);
/// Rows of events with after < pos <= upto, as other nodes wrote them: Rooms follows them.
std::vector<journal::Entry> stored_events(Connection& c, Position after, Position upto);

// -- writes -------------------------------------------------------------------
/// Takes `count` numbers that no other room has or will have; returns the first.
std::int64_t reserve_room_nums(Connection& c, std::int64_t count);
void insert_room(Connection& c, const RoomRow& row, std::string_view creator, WallMs now);
void insert_event(Connection& c, Position pos, std::int64_t room, std::string_view event_id, std::string_view pdu,
                  std::string_view extra);
void set_state(Connection& c, std::int64_t room, std::string_view type, std::string_view key, Position pos);
void set_membership(Connection& c, std::string_view user, std::int64_t room, std::string_view membership, Position pos);
void insert_relation(Connection& c, std::int64_t room, Position pos, const Event& e);
void touch_thread(Connection& c, std::int64_t room, std::string_view root, Position pos);
/// Replaces the stored PDU by its redacted form and takes the event out of all relations.
void redact_event(Connection& c, Position pos, std::string_view redacted_pdu, std::string_view redacted_by);
std::optional<std::string> pdu_at(Connection& c, Position pos);

}  // namespace haechi::messenger::repo
