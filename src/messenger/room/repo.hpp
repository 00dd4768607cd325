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

struct RoomRow {
  std::int64_t num = 0;
  std::string room_id;
  std::string version;
};
struct LoadedRoom {
  RoomRow row;
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
/// `recent`: newest positions of the room still in the index's memory, ascending;
/// `stored_to`: where its table ends.
LoadedRoom load_room(Connection& c, RoomRow row, const store::LateIndex& by_room, Position stored_to,
                     std::vector<Position> recent);

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

// -- writes -------------------------------------------------------------------
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
