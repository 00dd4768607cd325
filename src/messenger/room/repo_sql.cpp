#include "messenger/room/repo.hpp"

#include <algorithm>
#include <unordered_map>

#include "base/text.hpp"
#include "messenger/kinds.hpp"
#include "messenger/room/rooms.hpp"

namespace haechi::messenger::repo {
namespace {

using store::Row;
using store::Sql;

constexpr Sql kRoomById{"SELECT num, room_id, version FROM rooms WHERE room_id = $1"};
constexpr Sql kRoomByNum{"SELECT num, room_id, version FROM rooms WHERE num = $1"};
constexpr Sql kLastRoom{"SELECT MAX(num) FROM rooms"};
constexpr Sql kEventAt{"SELECT pos, room_num, event_id, pdu, extra, redacted_by FROM events WHERE pos = $1"};
constexpr Sql kEventsBetween{
    "SELECT pos, room_num, event_id, pdu, extra, redacted_by FROM events WHERE pos > $1 AND pos <= $2 ORDER BY pos"};
constexpr Sql kEventsOfRoomAfter{"SELECT pos FROM events WHERE pos > $1 AND room_num = $2 ORDER BY pos"};
constexpr Sql kJournalHead{"SELECT pos FROM journal_head WHERE id = 1"};
constexpr Sql kPduAt{"SELECT pdu FROM events WHERE pos = $1"};
constexpr Sql kCurrentState{"SELECT pos FROM room_state WHERE room_num = $1"};
constexpr Sql kStateUpto{
    "SELECT MAX(pos) FROM room_state_log WHERE room_num = $1 AND pos <= $2 GROUP BY type, state_key"};
constexpr Sql kStateBetween{
    "SELECT MAX(pos) FROM room_state_log WHERE room_num = $1 AND pos > $2 AND pos <= $3 GROUP BY type, state_key"};
constexpr Sql kStateEventAt{
    "SELECT MAX(pos) FROM room_state_log WHERE room_num = $1 AND type = $2 AND state_key = $3 AND pos <= $4"};
constexpr Sql kStateHistory{
    "SELECT pos FROM room_state_log WHERE room_num = $1 AND type = $2 AND state_key = $3 ORDER BY pos"};
constexpr Sql kEventRefs{"SELECT pos, room_num, event_id FROM events WHERE pos > $1 ORDER BY pos"};
constexpr Sql kReceipts{
    "SELECT user_id, type, thread_id, event_id, event_pos, pos, ts FROM receipts WHERE room_num = $1"};
constexpr Sql kIsParent{"SELECT 1 FROM relations WHERE parent_id = $1 LIMIT 1"};

// Also past what was made while nobody reserved: by the only node of its database.
constexpr Sql kReserveNums{
    "UPDATE room_numbers SET next = $1 + CASE WHEN next > (SELECT COALESCE(MAX(num), 0) FROM rooms) THEN next "
    "ELSE (SELECT COALESCE(MAX(num), 0) + 1 FROM rooms) END WHERE id = 1"};
constexpr Sql kNextNum{"SELECT next FROM room_numbers WHERE id = 1"};
constexpr Sql kInsertRoom{"INSERT INTO rooms (num, room_id, version, creator, created_ms) VALUES ($1, $2, $3, $4, $5)"};
constexpr Sql kInsertEvent{"INSERT INTO events (pos, room_num, event_id, pdu, extra) VALUES ($1, $2, $3, $4, $5)",
                           store::Rows::Together};
constexpr Sql kLogState{"INSERT INTO room_state_log (room_num, type, state_key, pos) VALUES ($1, $2, $3, $4)",
                        store::Rows::Together};
constexpr Sql kSetState{
    "INSERT INTO room_state (room_num, type, state_key, pos) VALUES ($1, $2, $3, $4) "
    "ON CONFLICT (room_num, type, state_key) DO UPDATE SET pos = excluded.pos"};
constexpr Sql kSetMembership{
    "INSERT INTO memberships (user_id, room_num, membership, pos, forgotten) VALUES ($1, $2, $3, $4, 0) "
    "ON CONFLICT (user_id, room_num) DO UPDATE SET membership = excluded.membership, pos = excluded.pos, forgotten = "
    "0"};
constexpr Sql kInsertRelation{
    "INSERT INTO relations (parent_id, pos, room_num, rel_type, type, sender, relation_key) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7)",
    store::Rows::Together};
constexpr Sql kTouchThread{
    "INSERT INTO threads (room_num, root_id, latest_pos) VALUES ($1, $2, $3) "
    "ON CONFLICT (room_num, root_id) DO UPDATE SET latest_pos = excluded.latest_pos"};
constexpr Sql kRedactEvent{"UPDATE events SET pdu = $2, redacted_by = $3 WHERE pos = $1"};
constexpr Sql kDropRelations{"DELETE FROM relations WHERE parent_id = $1 AND pos = $2"};

RoomRow room_row(const Row& r) { return {r.i64(0), r.str(1), r.str(2)}; }

constexpr std::string_view kRedactsPos = "\"redacts_pos\":";

std::shared_ptr<Event> event_row(const Row& r) {
  auto e = event_from_row(r.text(3), r.text(2), r.text(4), r.text(5));
  e->pos = r.i64(0);
  e->room_num = r.i64(1);
  return e;
}

}  // namespace

EventRow::EventRow(const Row& r) : pos(r.i64(0)), room_num(r.i64(1)) {
  text_.reserve(r.text(2).size() + r.text(3).size() + r.text(4).size() + r.text(5).size());
  id_end_ = text_.append(r.text(2)).size();
  pdu_end_ = text_.append(r.text(3)).size();
  extra_end_ = text_.append(r.text(4)).size();
  text_.append(r.text(5));
}

std::shared_ptr<Event> EventRow::event() const {
  auto e = event_from_row(pdu(), event_id(), extra(), part(extra_end_, text_.size()));
  e->pos = pos;
  e->room_num = room_num;
  return e;
}

bool EventRow::may_be(std::string_view type) const {
  // Canonical JSON: no white space, and the type stands behind the content.
  std::string member = "\"type\":\"";
  member += type;
  member += '"';
  return pdu().rfind(member) != std::string_view::npos;
}

bool EventRow::is_state() const {
  // Canonical JSON, its members in order: the content stands before the sender.
  return pdu().find(R"(,"state_key":")", pdu().rfind(R"(,"sender":")")) != std::string_view::npos;
}

Position EventRow::redacts_pos() const {
  const auto at = extra().rfind(kRedactsPos);
  if (at == std::string_view::npos) return 0;
  const auto digits = extra().substr(at + kRedactsPos.size());
  return parse_int(digits.substr(0, digits.find('}'))).value_or(0);
}

std::string extra_of_redaction(const Event& redaction, Position target) {
  auto out = extra_of(redaction);
  out.pop_back();
  return out.append(",").append(kRedactsPos).append(std::to_string(target)).append("}");
}

std::vector<journal::Entry> stored_events(Connection& c, Position after, Position upto) {
  std::vector<std::shared_ptr<EventRow>> rows;
  c.each(kEventsBetween, [&](const Row& r) { rows.push_back(std::make_shared<EventRow>(r)); }, after, upto);
  std::vector<journal::Entry> out;
  out.reserve(rows.size());
  for (auto& row : rows) {
    if (const auto target = row->redacts_pos()) {
      c.each(kEventAt, [&](const Row& r) { row->target = std::make_shared<EventRow>(r); }, target);
    }
    journal::Entry entry;
    entry.pos = row->pos;
    entry.kind = kind::kEvent;
    entry.topic = row->room_num;
    entry.own = false;
    // What may be said in a room depends on its state alone: messages of several nodes may stand
    // side by side on the same predecessor, as those of several servers do.
    entry.decisive = row->is_state() || row->target;
    entry.local = std::move(row);
    out.push_back(std::move(entry));
  }
  return out;
}

std::optional<RoomRow> room_by_id(Connection& c, std::string_view room_id) {
  return c.one(kRoomById, room_row, room_id);
}
std::optional<RoomRow> room_by_num(Connection& c, std::int64_t num) { return c.one(kRoomByNum, room_row, num); }
std::int64_t last_room_num(Connection& c) { return c.one_i64(kLastRoom).value_or(0); }

EventPtr event_at(Connection& c, Position pos) {
  auto found = c.one(kEventAt, event_row, pos);
  return found ? *std::move(found) : nullptr;
}

std::vector<EventPtr> events_at(Connection& c, std::span<const Position> positions) {
  std::vector<EventPtr> out;
  out.reserve(positions.size());
  for (const auto p : positions) {
    if (auto e = event_at(c, p)) out.push_back(std::move(e));
  }
  return out;
}

EventPtr event_by_id(Connection& c, const store::LateIndex& by_id, std::string_view event_id,
                     std::span<const Position> recent) {
  for (const auto p : recent) {
    if (auto e = event_at(c, p); e && e->event_id == event_id) return e;
  }
  for (const auto p : by_id.find_stored(c, event_key(event_id), 0, INT64_MAX, 16)) {
    if (auto e = event_at(c, p); e && e->event_id == event_id) return e;
  }
  return nullptr;
}

void attach_redactions(Connection& c, std::vector<EventPtr>& events) {
  for (auto& e : events) {
    if (e->redacted_by.empty() || !e->redaction_json.empty()) continue;
    // `redacted_by` is stored as "position event-id" so that no index is asked.
    const auto space = e->redacted_by.find(' ');
    auto copy = std::make_shared<Event>(*e);
    copy->redacted_by = e->redacted_by.substr(space + 1);
    const auto pos = parse_int(std::string_view(e->redacted_by).substr(0, space));
    if (const auto redaction = pos ? event_at(c, *pos) : nullptr) {
      append_client_event(copy->redaction_json, *redaction, {});
    }
    e = std::move(copy);
  }
}

Position journal_head(Connection& c) { return c.one_i64(kJournalHead).value_or(0); }

LoadedRoom load_room(Connection& c, RoomRow row, const store::LateIndex& by_room, IndexedPart indexed) {
  LoadedRoom out;
  const auto num = row.num;
  auto& recent = indexed.recent;
  out.head = journal_head(c);
  out.row = std::move(row);
  out.state = events_at(c, c.all(kCurrentState, [](const Row& r) { return r.i64(0); }, num));
  if (recent.size() < kTimelineLoaded) {
    const auto older =
        by_room.find_stored(c, static_cast<std::uint64_t>(num), 0, indexed.stored_to, kTimelineLoaded - recent.size());
    recent.insert(recent.begin(), older.rbegin(), older.rend());
  }
  // State and timeline must be of the same moment.
  c.each(kEventsOfRoomAfter, [&](const Row& r) { recent.push_back(r.i64(0)); }, indexed.upto, num);
  out.timeline = events_at(c, recent);
  out.timeline_from = out.timeline.empty() ? 0 : out.timeline.front()->pos;
  attach_redactions(c, out.state);
  attach_redactions(c, out.timeline);
  // State and timeline share their events.
  std::unordered_map<Position, EventPtr> shared;
  for (const auto& e : out.timeline) shared.emplace(e->pos, e);
  for (auto& e : out.state) {
    if (const auto it = shared.find(e->pos); it != shared.end()) e = it->second;
  }
  c.each(
      kReceipts,
      [&](const Row& r) {
        out.receipts.push_back({r.str(0), r.str(1), r.str(2), r.str(3), r.i64(4), r.i64(5), r.i64(6)});
      },
      num);
  for (const auto& e : out.timeline) {
    if (c.one_i64(kIsParent, e->event_id)) out.parents.push_back(e->event_id);
  }
  return out;
}

namespace {
std::vector<Position> positions(Connection& c, const Sql& sql, auto... args) {
  auto out = c.all(sql, [](const Row& r) { return r.i64(0); }, args...);
  std::ranges::sort(out);
  return out;
}
}  // namespace

std::vector<Position> state_positions(Connection& c, std::int64_t room, Position upto) {
  return positions(c, kStateUpto, room, upto);
}
std::vector<Position> state_positions_between(Connection& c, std::int64_t room, Position after, Position upto) {
  return positions(c, kStateBetween, room, after, upto);
}
std::optional<Position> state_position_at(Connection& c, std::int64_t room, std::string_view type, std::string_view key,
                                          Position upto) {
  return c.one_i64(kStateEventAt, room, type, key, upto);
}
std::vector<Position> state_history(Connection& c, std::int64_t room, std::string_view type, std::string_view key) {
  return positions(c, kStateHistory, room, type, key);
}

void each_event_ref(Connection& c, Position after,
                    const std::function<void(Position, std::int64_t, std::string_view)>& f) {
  c.each(kEventRefs, [&](const Row& r) { f(r.i64(0), r.i64(1), r.text(2)); }, after);
}

std::int64_t reserve_room_nums(Connection& c, std::int64_t count) {
  c.put(kReserveNums, count);
  return c.one_i64(kNextNum).value() - count;
}
void insert_room(Connection& c, const RoomRow& row, std::string_view creator, WallMs now) {
  c.put(kInsertRoom, row.num, row.room_id, row.version, creator, now);
}
void insert_event(Connection& c, Position pos, std::int64_t room, std::string_view event_id, std::string_view pdu,
                  std::string_view extra) {
  c.put(kInsertEvent, pos, room, event_id, pdu, extra);
}
void set_state(Connection& c, std::int64_t room, std::string_view type, std::string_view key, Position pos) {
  c.put(kLogState, room, type, key, pos);
  c.put(kSetState, room, type, key, pos);
}
void set_membership(Connection& c, std::string_view user, std::int64_t room, std::string_view membership,
                    Position pos) {
  c.put(kSetMembership, user, room, membership, pos);
}
void insert_relation(Connection& c, std::int64_t room, Position pos, const Event& e) {
  c.put(kInsertRelation, e.relation->event_id, pos, room, e.relation->rel_type, e.type, e.sender, e.relation->key);
}
void touch_thread(Connection& c, std::int64_t room, std::string_view root, Position pos) {
  c.put(kTouchThread, room, root, pos);
}
std::optional<std::string> pdu_at(Connection& c, Position pos) {
  return c.one(kPduAt, [](const Row& r) { return r.str(0); }, pos);
}
void redact_event(Connection& c, Position pos, std::string_view redacted_pdu, std::string_view redacted_by) {
  const auto e = event_at(c, pos);
  c.put(kRedactEvent, pos, redacted_pdu, redacted_by);
  if (e && e->relation) c.put(kDropRelations, e->relation->event_id, pos);
}

}  // namespace haechi::messenger::repo
