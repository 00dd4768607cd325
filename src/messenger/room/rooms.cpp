#include "messenger/room/rooms.hpp"

#include <algorithm>
#include <cstring>

#include "base/log.hpp"
#include "messenger/errc.hpp"
#include "messenger/kinds.hpp"
#include "messenger/room/repo.hpp"

namespace haechi::messenger {
namespace {

constexpr std::int64_t kNumsAtOnce = 64;   ///< numbers of rooms that a node reserves
constexpr std::size_t kMissedMax = 2'000;  ///< entries kept while rooms are read
constexpr int kLoadTriesMax = 5;

/// The event is durable: whatever one observer makes of it, the others and later events must not miss it.
template <class F>
void tell(F&& f) {
  try {
    f();
  } catch (const std::exception& e) {
    log::error("an observer of rooms failed", {{"error", e.what()}});
  }
}

struct Landed {
  EventPtr event;
  EventPtr redacted;  ///< the target of a redaction as it is now
};

/// What EventLanded brings ready-made, from the rows that another node wrote.
Landed land_stored(Room& room, const repo::EventRow& row) {
  Landed out;
  if (row.pos <= room.loaded_upto) out.event = room.recent_at(row.pos);
  if (!out.event) {
    auto event = row.event();
    if (row.pos > room.loaded_upto) room.land(event);
    out.event = std::move(event);
  }
  const Event& e = *out.event;
  if (e.relation) room.parents.insert(e.relation->event_id);
  if (e.type == "m.room.redaction" && row.target && row.target->event_id() == e.redacts &&
      row.target->room_num == room.num) {
    auto gone = row.target->event();
    gone->redacted_by = e.event_id;
    append_client_event(gone->redaction_json, e, {});
    room.replace(gone);
    out.redacted = std::move(gone);
  }
  return out;
}

std::vector<Position> within(std::vector<Position> positions, Position from, Position to) {
  std::erase_if(positions, [&](Position p) { return p < from || p >= to; });
  return positions;
}

}  // namespace

std::unexpected<Error> not_in_room(Error error) {
  if (error.is(Errc::NotFound)) return fail(Errc::Forbidden, "You are not in this room");
  return std::unexpected(std::move(error));
}

std::uint64_t event_key(std::string_view event_id) {
  // An event id is a hash already: sixteen of its characters mixed are enough.
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  if (event_id.size() >= 17) {
    std::memcpy(&a, event_id.data() + 1, 8);
    std::memcpy(&b, event_id.data() + 9, 8);
  } else {
    std::memcpy(&a, event_id.data(), std::min<std::size_t>(8, event_id.size()));
  }
  std::uint64_t v = (a * 0x9E3779B97F4A7C15ull) ^ (b + (a >> 29));
  v ^= v >> 32;
  return v * 0xD6E8FEB86659FD93ull;
}

Rooms::Rooms(store::Readers& readers, std::size_t index_segment)
    : readers_(readers), by_event_id_(2, index_segment), by_room_(3, index_segment) {}

Result<> Rooms::start(store::Database& db, journal::Journal& journal) {
  try {
    auto c = db.connect(store::Access::ReadOnly);
    c->begin();  // of one moment, whatever other nodes do
    by_event_id_.load(*c);
    by_room_.load(*c);
    last_num_ = repo::last_room_num(*c);
    repo::each_event_ref(*c, std::min(by_event_id_.indexed_upto(), by_room_.indexed_upto()),
                         [&](Position pos, std::int64_t room, std::string_view event_id) {
                           if (pos > by_event_id_.indexed_upto()) by_event_id_.add(event_key(event_id), pos);
                           if (pos > by_room_.indexed_upto()) by_room_.add(static_cast<std::uint64_t>(room), pos);
                         });
    // The feed is followed from an older position on: what is known already must not be added again.
    indexed_ = repo::journal_head(*c);
    c->rollback();
  } catch (const store::SqlError& e) {
    return fail(haechi::Errc::Io, e.what());
  }
  head_ = journal.position();
  journal_ = &journal;
  journal.read_stored(kind::kEvent, &repo::stored_events);
  journal.maintain(by_event_id_);
  journal.maintain(by_room_);
  journal.subscribe([this](std::span<const journal::Entry> entries) { follow(entries); });
  return {};
}

RoomPtr Rooms::find(std::string_view room_id) const {
  const auto it = by_id_.find(room_id);
  return it == by_id_.end() ? nullptr : it->second;
}

RoomPtr Rooms::find(std::int64_t num) const {
  const auto it = by_num_.find(num);
  return it == by_num_.end() ? nullptr : it->second;
}

Task<Result<std::int64_t>> Rooms::next_num() {
  if (!journal_->shared()) co_return ++last_num_;
  if (reserved_nums_.empty()) {
    CO_TRY(const auto first, co_await journal_->submit([](journal::Tx& tx) -> Result<std::int64_t> {
      return repo::reserve_room_nums(tx.sql(), kNumsAtOnce);
    }));
    for (auto n = first + kNumsAtOnce - 1; n >= first; --n) reserved_nums_.push_back(n);
  }
  const auto num = reserved_nums_.back();
  reserved_nums_.pop_back();
  co_return num;
}

RoomPtr Rooms::add_new(std::int64_t num, std::string room_id, const RoomVersion& version) {
  auto room = std::make_shared<Room>(num, std::move(room_id), version);
  by_id_.emplace(room->id, room);
  by_num_.emplace(num, room);
  return room;
}

void Rooms::drop_new(std::string_view room_id) {
  const auto it = by_id_.find(room_id);
  if (it == by_id_.end()) return;
  by_num_.erase(it->second->num);
  by_id_.erase(it);
}

namespace {
RoomPtr build(repo::LoadedRoom loaded) {
  const auto* version = find_room_version(loaded.row.version);
  if (!version) throw std::runtime_error("stored room version is unknown: " + loaded.row.version);
  auto room = std::make_shared<Room>(loaded.row.num, std::move(loaded.row.room_id), *version);
  room->load_state(std::move(loaded.state));
  room->load_timeline(std::move(loaded.timeline), loaded.timeline_from);
  for (auto& r : loaded.receipts) {
    room->last_receipt_pos = std::max(room->last_receipt_pos, r.pos);
    room->receipts[r.user][{r.type, r.thread}] = Receipt{std::move(r.event_id), r.event_pos, r.ts, r.pos};
  }
  for (auto& p : loaded.parents) room->parents.insert(std::move(p));
  room->loaded_upto = loaded.head;
  return room;
}
}  // namespace

RoomPtr Rooms::adopt(RoomPtr loaded) {
  // Somebody else may have loaded the same room meanwhile: theirs has followed the feed.
  if (auto present = find(loaded->num)) return present;
  by_id_.emplace(loaded->id, loaded);
  by_num_.emplace(loaded->num, loaded);
  catch_up(*loaded);
  for (auto* o : observers_) o->on_loaded(*loaded);
  evict_some();
  return loaded;
}

Task<Result<RoomPtr>> Rooms::get(std::string room_id) {
  if (auto room = find(room_id)) co_return room;
  auto row = co_await readers_.read(
      [&](store::Connection& c) -> Result<std::optional<repo::RoomRow>> { return repo::room_by_id(c, room_id); });
  if (!row) co_return std::unexpected(std::move(row.error()));
  if (!*row) co_return fail(Errc::NotFound, "No such room");
  std::vector<std::int64_t> nums{(*row)->num};
  CO_TRY(auto rooms, co_await get_all(std::move(nums)));
  if (rooms.empty()) co_return fail(Errc::NotFound, "No such room");
  co_return rooms.front();
}

/// While one lives, what comes for rooms that are not in memory is kept: they may be just being read.
class Rooms::Loading {
 public:
  explicit Loading(Rooms& rooms) : rooms_(rooms) { ++rooms_.loads_; }
  ~Loading() {
    if (--rooms_.loads_ == 0) rooms_.missed_.clear();
  }
  Loading(const Loading&) = delete;
  Loading& operator=(const Loading&) = delete;

 private:
  Rooms& rooms_;
};

void Rooms::keep_missed(const journal::Entry& entry) {
  if (loads_ == 0) return;
  missed_.push_back(entry);
  if (missed_.size() <= kMissedMax) return;
  missed_from_ = missed_.front().pos;
  missed_.pop_front();
}

void Rooms::catch_up(Room& room) {
  for (const auto& entry : missed_) {
    if (entry.pos <= room.loaded_upto) continue;
    if (entry.kind == kind::kReceipt) {
      if (entry.subject != room.id) continue;
      for (auto* o : observers_) tell([&] { o->on_missed(room, entry); });
    } else if (entry.topic == room.num) {
      tell([&] { land_stored(room, *dynamic_cast<const repo::EventRow*>(entry.local.get())); });
    }
  }
}

Task<Result<std::vector<RoomPtr>>> Rooms::get_all(std::vector<std::int64_t> nums) {
  std::vector<std::int64_t> missing;
  // Held until the end: a room must not be evicted because another one comes in.
  std::unordered_map<std::int64_t, RoomPtr> held;
  for (const auto num : nums) {
    if (auto room = find(num)) held.emplace(num, std::move(room));
    else missing.push_back(num);
  }
  const Loading loading(*this);
  for (int tries = 1; !missing.empty(); ++tries) {
    std::vector<repo::IndexedPart> indexed;
    for (const auto num : missing) {
      indexed.push_back(
          {.recent = by_room_.find_recent(static_cast<std::uint64_t>(num), INT64_MAX, repo::kTimelineLoaded),
           .stored_to = by_room_.indexed_upto() + 1,
           .upto = indexed_});
    }
    struct Read {
      Position head = 0;
      std::vector<RoomPtr> rooms;
    };
    const Position known = head_;
    CO_TRY(auto read, co_await readers_.read([&](store::Connection& c) -> Result<Read> {
      Read out{.head = repo::journal_head(c), .rooms = {}};
      for (std::size_t i = 0; i < missing.size(); ++i) {
        if (auto row = repo::room_by_num(c, missing[i])) {
          out.rooms.push_back(build(repo::load_room(c, *std::move(row), by_room_, indexed[i])));
        }
      }
      return out;
    }));
    if (read.head < known || read.head < missed_from_) {
      // From a server that has been left behind, or so slow that too much came meanwhile.
      if (tries >= kLoadTriesMax) co_return fail(haechi::Errc::Unavailable, "The room cannot be read just now");
      continue;
    }
    for (auto& room : read.rooms) {
      const auto num = room->num;
      held.emplace(num, adopt(std::move(room)));
    }
    break;
  }
  std::vector<RoomPtr> out;
  out.reserve(nums.size());
  for (const auto num : nums) {
    if (const auto it = held.find(num); it != held.end()) out.push_back(it->second);
  }
  co_return out;
}

Task<Result<EventPtr>> Rooms::event(RoomPtr room, std::string event_id) {
  for (auto it = room->timeline().rbegin(); it != room->timeline().rend(); ++it) {
    if ((*it)->event_id == event_id) co_return *it;
  }
  CO_TRY(auto found, co_await event_anywhere(std::move(event_id)));
  if (found.second->room_num != room->num) co_return fail(Errc::NotFound, "No such event in this room");
  co_return found.second;
}

Task<Result<std::pair<RoomPtr, EventPtr>>> Rooms::event_anywhere(std::string event_id) {
  const auto recent = by_event_id_.find_recent(event_key(event_id));
  auto found = co_await readers_.read([&](store::Connection& c) -> Result<EventPtr> {
    auto e = repo::event_by_id(c, by_event_id_, event_id, recent);
    if (!e) return fail(Errc::NotFound, "No such event");
    std::vector<EventPtr> one{std::move(e)};
    repo::attach_redactions(c, one);
    return one.front();
  });
  if (!found) co_return std::unexpected(std::move(found.error()));
  std::vector<std::int64_t> nums{(*found)->room_num};
  CO_TRY(auto rooms, co_await get_all(std::move(nums)));
  if (rooms.empty()) co_return fail(Errc::NotFound, "No such event");
  co_return std::pair{rooms.front(), *std::move(found)};
}

Task<Result<std::vector<EventPtr>>> Rooms::events_at(RoomPtr room, std::vector<Position> positions) {
  std::vector<EventPtr> out;
  bool all_in_memory = true;
  const auto& line = room->timeline();
  for (const auto p : positions) {
    const auto it = std::ranges::lower_bound(line, p, {}, [](const EventPtr& e) { return e->pos; });
    if (it == line.end() || (*it)->pos != p) {
      all_in_memory = false;
      break;
    }
    out.push_back(*it);
  }
  if (all_in_memory) co_return out;
  co_return co_await readers_.read([&](store::Connection& c) -> Result<std::vector<EventPtr>> {
    auto events = repo::events_at(c, positions);
    repo::attach_redactions(c, events);
    return events;
  });
}

Task<Result<std::vector<EventPtr>>> Rooms::range(RoomPtr room, Position from, Position to, std::size_t limit,
                                                 Direction dir) {
  from = std::max<Position>(from, 1);
  const auto& line = room->timeline();
  std::vector<EventPtr> out;
  if (dir == Direction::Backward) {
    // What memory covers may be enough.
    for (auto it = line.rbegin(); it != line.rend() && out.size() < limit; ++it) {
      if ((*it)->pos < from) break;
      if ((*it)->pos < to) out.push_back(*it);
    }
    if (out.size() >= limit || from >= room->timeline_from()) co_return out;
    to = std::min(to, room->timeline_from());
  } else if (from >= room->timeline_from()) {
    for (const auto& e : line) {
      if (out.size() >= limit || e->pos >= to) break;
      if (e->pos >= from) out.push_back(e);
    }
    co_return out;
  }
  const std::size_t missing = limit - out.size();
  // Memory and table meet at `stored_to`, read in the same moment: nothing twice, nothing missed.
  const Position stored_to = std::min(to, by_room_.indexed_upto() + 1);
  auto recent = dir == Direction::Backward ? by_room_.find_recent(static_cast<std::uint64_t>(room->num), to, missing)
                                           : by_room_.find_recent(static_cast<std::uint64_t>(room->num), to);
  recent = within(std::move(recent), from, to);
  auto older = co_await readers_.read([&](store::Connection& c) -> Result<std::vector<EventPtr>> {
    using Order = store::LateIndex::Order;
    std::vector<Position> positions;
    const auto key = static_cast<std::uint64_t>(room->num);
    if (dir == Direction::Backward) {
      if (recent.size() < missing) {
        positions = by_room_.find_stored(c, key, from, stored_to, missing - recent.size(), Order::Descending);
      }
    } else if (from < stored_to) {
      positions = by_room_.find_stored(c, key, from, stored_to, missing, Order::Ascending);
    }
    positions.insert(positions.end(), recent.begin(), recent.end());
    std::ranges::sort(positions);
    if (dir == Direction::Backward) std::ranges::reverse(positions);
    if (positions.size() > missing) positions.resize(missing);
    auto events = repo::events_at(c, positions);
    repo::attach_redactions(c, events);
    return events;
  });
  if (!older) co_return std::unexpected(std::move(older.error()));
  out.insert(out.end(), older->begin(), older->end());
  co_return out;
}

Task<Result<std::vector<EventPtr>>> Rooms::state_at(RoomPtr room, Position pos) {
  if (pos >= room->last_state_pos()) {
    std::vector<EventPtr> now;
    for (const auto& [type, by_key] : room->state()) {
      for (const auto& [key, e] : by_key) now.push_back(e);
    }
    co_return now;
  }
  co_return co_await readers_.read([&](store::Connection& c) -> Result<std::vector<EventPtr>> {
    auto events = repo::events_at(c, repo::state_positions(c, room->num, pos));
    repo::attach_redactions(c, events);
    return events;
  });
}

Task<Result<std::vector<EventPtr>>> Rooms::state_between(RoomPtr room, Position after, Position upto) {
  if (room->last_state_pos() <= after || upto <= after) co_return std::vector<EventPtr>{};
  if (after + 1 >= room->timeline_from()) {
    std::vector<EventPtr> out;
    for (auto it = room->timeline().rbegin(); it != room->timeline().rend() && (*it)->pos > after; ++it) {
      const auto& e = *it;
      if (e->pos > upto || !e->is_state()) continue;
      const bool newer =
          std::ranges::any_of(out, [&](const EventPtr& o) { return o->is_state(e->type, *e->state_key); });
      if (!newer) out.push_back(e);
    }
    std::ranges::reverse(out);
    co_return out;
  }
  co_return co_await readers_.read([&](store::Connection& c) -> Result<std::vector<EventPtr>> {
    auto events = repo::events_at(c, repo::state_positions_between(c, room->num, after, upto));
    repo::attach_redactions(c, events);
    return events;
  });
}

Task<Result<EventPtr>> Rooms::state_event_at(RoomPtr room, std::string type, std::string key, Position pos) {
  if (const auto now = room->state_ptr(type, key); !now || now->pos <= pos) co_return now;
  co_return co_await readers_.read([&](store::Connection& c) -> Result<EventPtr> {
    const auto at = repo::state_position_at(c, room->num, type, key, pos);
    return at ? repo::event_at(c, *at) : nullptr;
  });
}

Task<Result<std::vector<EventPtr>>> Rooms::state_history(RoomPtr room, std::string type, std::string key) {
  co_return co_await readers_.read([&](store::Connection& c) -> Result<std::vector<EventPtr>> {
    return repo::events_at(c, repo::state_history(c, room->num, type, key));
  });
}

void Rooms::follow(std::span<const journal::Entry> entries) {
  for (const auto& entry : entries) {
    head_ = entry.pos;
    if (entry.kind == kind::kReceipt && loads_ > 0 && !find(entry.subject)) keep_missed(entry);
    if (entry.kind != kind::kEvent) continue;
    if (const auto* what = dynamic_cast<const EventLanded*>(entry.local.get())) {
      what->event->pos = entry.pos;
      landed(*what);
    } else if (const auto* row = dynamic_cast<const repo::EventRow*>(entry.local.get())) {
      tell([&] { follow_stored(entry, *row); });
    }
  }
}

void Rooms::add_to_indexes(std::string_view event_id, std::int64_t room_num, Position pos) {
  if (pos <= indexed_) return;
  by_event_id_.add(event_key(event_id), pos);
  by_room_.add(static_cast<std::uint64_t>(room_num), pos);
  indexed_ = pos;
}

void Rooms::landed(const EventLanded& what) {
  add_to_indexes(what.event->event_id, what.room->num, what.event->pos);
  RoomPtr present = find(what.room->num);
  if (!present) {
    // Its maker gave up waiting, and so did the room; it was made all the same.
    present = what.room;
    by_id_.emplace(present->id, present);
    by_num_.emplace(present->num, present);
  }
  Room& room = *present;
  if (what.event->pos > room.loaded_upto) room.land(what.event);
  if (what.event->relation) room.parents.insert(what.event->relation->event_id);
  if (what.redacted) {
    room.replace(what.redacted);
    for (auto* o : observers_) tell([&] { o->on_redacted(room, what.redacted); });
  }
  for (auto* o : observers_) tell([&] { o->on_event(room, what.event); });
  for (auto* o : observers_) tell([&] { o->on_own_event(room, what.event); });
}

void Rooms::follow_stored(const journal::Entry& entry, const repo::EventRow& row) {
  add_to_indexes(row.event_id(), row.room_num, row.pos);
  const auto room = find(row.room_num);
  if (!room) {
    keep_missed(entry);
    return unseen(row);
  }
  if (entry.decisive) room->drop_flight();
  const auto change = land_stored(*room, row);
  if (change.redacted) {
    for (auto* o : observers_) tell([&] { o->on_redacted(*room, change.redacted); });
  }
  for (auto* o : observers_) tell([&] { o->on_event(*room, change.event); });
}

void Rooms::unseen(const repo::EventRow& row) {
  RoomObserver::Unseen unseen{.room_num = row.room_num, .pos = row.pos, .room_id = {}, .member = nullptr};
  if (row.may_be("m.room.member")) {
    if (auto event = row.event(); event->type == "m.room.member" && event->state_key) {
      unseen.room_id = get_string(must_parse_object(row.pdu()), "room_id").value_or("");
      unseen.member = std::move(event);
    }
  }
  for (auto* o : observers_) tell([&] { o->on_unseen(unseen); });
}

void Rooms::evict_some() {
  // Rooms that nobody in memory looks at and nobody holds can be read again.
  constexpr std::size_t kRoomsMax = 50'000;
  if (by_num_.size() <= kRoomsMax) return;
  // Each time a few buckets further, so that rooms in use do not hide those behind them.
  constexpr std::size_t kBucketsAtOnce = 64;
  std::vector<RoomPtr> idle;
  for (std::size_t tried = 0; tried < kBucketsAtOnce; ++tried) {
    const auto bucket = next_bucket_++ % by_num_.bucket_count();
    for (auto it = by_num_.begin(bucket); it != by_num_.end(bucket); ++it) {
      const auto& room = it->second;
      if (room.use_count() == 2 && room->online.empty() && !room->has_flight()) idle.push_back(room);
    }
  }
  for (const auto& room : idle) {
    by_id_.erase(room->id);
    by_num_.erase(room->num);
  }
}

}  // namespace haechi::messenger
