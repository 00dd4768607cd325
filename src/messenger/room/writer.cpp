#include "messenger/room/writer.hpp"

#include <boost/container/static_vector.hpp>

#include "messenger/errc.hpp"
#include "messenger/event/canonical.hpp"
#include "messenger/event/draft.hpp"
#include "messenger/event/event_errc.hpp"
#include "messenger/event/hash.hpp"
#include "messenger/event/redact.hpp"
#include "messenger/kinds.hpp"
#include "messenger/room/repo.hpp"

namespace haechi::messenger {
namespace {

/// The room's head as the authorisation rules see it.
class HeadState final : public StateView {
 public:
  explicit HeadState(const Room& room) : room_(room) {}
  const json::object* content(std::string_view type, std::string_view key) const override {
    const auto e = room_.head_state(type, key);
    return e ? &e->object() : nullptr;
  }
  std::string_view sender(std::string_view type, std::string_view key) const override {
    const auto e = room_.head_state(type, key);
    return e ? std::string_view(e->sender) : std::string_view{};
  }
  std::string_view create_event_id() const override {
    const auto e = room_.head_state("m.room.create");
    return e ? std::string_view(e->event_id) : std::string_view{};
  }

 private:
  const Room& room_;
};

AuthEvent auth_view(const Room& room, const NewEvent& event, std::span<const std::string_view> prev) {
  const bool hashed_create = room.version.room_id_is_hash && event.type == "m.room.create";
  return {.room_id = hashed_create ? std::string_view{} : std::string_view(room.id),
          .sender = event.sender,
          .type = event.type,
          .state_key = event.state_key ? std::optional<std::string_view>(*event.state_key) : std::nullopt,
          .content = &event.content,
          .prev_events = prev};
}

/// Each try lasts a turn at the database: many nodes that change the state of one room at once
/// get through one after the other.
constexpr int kTriesMax = 300;
constexpr auto kFollowWait = std::chrono::seconds(1);

/// The event of a command that failed leaves the head. One that is late may land yet: until it is
/// known, what comes after it must follow it (see ~Prepared).
void give_up(Room& room, const std::shared_ptr<Event>& e, const Error& error) {
  if (!error.is(journal::Errc::Late)) room.crash(e);
}

std::unexpected<Error> too_busy(Error error) {
  if (!error.is(journal::Errc::Stale)) return std::unexpected(std::move(error));
  return fail(haechi::Errc::Unavailable, "Too much happens in this room at once; try again");
}

}  // namespace

struct Writer::Prepared {
  Prepared() = default;
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;
  /// On the loop, once the journal has done with the command: what has not landed by then never will.
  ~Prepared() {
    if (landed && landed->event->pos == 0) landed->room->crash(landed->event);
  }
  std::shared_ptr<EventLanded> landed;
  std::string pdu;
  std::string extra;
  EventPtr redact_target;
};

Result<> Writer::would_allow(const Room& room, const NewEvent& event) const {
  const std::string_view head = room.head_event_id();
  const HeadState state(room);
  return authorize(room.version, auth_view(room, event, {&head, head.empty() ? 0u : 1u}), state);
}

Result<std::unique_ptr<Writer::Prepared>> Writer::prepare(const RoomPtr& room, NewEvent& event) {
  const std::string_view head = room->head_event_id();
  const std::span<const std::string_view> prev{&head, head.empty() ? 0u : 1u};
  const HeadState state(*room);
  const AuthEvent view = auth_view(*room, event, prev);
  TRY_DO(authorize(room->version, view, state));

  if (event.redact_target) {
    const auto levels = power_levels_of(room->version, state);
    if (auto allowed = may_redact(levels, event.sender, event.redact_target->sender); !allowed)
      return std::unexpected(std::move(allowed.error()));
    if (room->version.redacts_in_content) event.content["redacts"] = event.redact_target->event_id;
  }

  boost::container::static_vector<EventPtr, 8> auth;
  boost::container::static_vector<std::string_view, 8> auth_ids;
  for (const auto& key : auth_event_keys(room->version, view)) {
    if (auto e = room->head_state(key.type, key.state_key)) {
      auth_ids.push_back(e->event_id);
      auth.push_back(std::move(e));
    }
  }

  std::string text;
  TRY_DO(append_canonical(text, event.content));
  const auto now = event.ts.value_or(clock_.wall_ms());
  EventDraft draft{.room_id = view.room_id,
                   .sender = event.sender,
                   .type = event.type,
                   .state_key = view.state_key,
                   .content_text = text,
                   .content = &event.content,
                   .origin_server_ts = now,
                   .prev_events = prev,
                   .auth_events = {auth_ids.data(), auth_ids.size()},
                   .depth = room->head_depth() + 1,
                   .redacts = {}};
  if (event.redact_target && !room->version.redacts_in_content) draft.redacts = event.redact_target->event_id;
  TRY(auto built, build_event(room->version, draft));

  auto e = std::make_shared<Event>();
  e->room_num = room->num;
  e->event_id = std::move(built.event_id);
  e->type = std::move(event.type);
  e->sender = std::move(event.sender);
  e->state_key = std::move(event.state_key);
  e->ts = now;
  e->depth = draft.depth;
  if (event.redact_target) e->redacts = event.redact_target->event_id;
  e->device = std::move(event.device);
  e->txn_id = std::move(event.txn_id);
  e->joined_members = static_cast<std::int32_t>(room->head_joined_count());
  if (text.find("@room") != std::string::npos || text.find("\"room\":true") != std::string::npos) {
    const auto levels = power_levels_of(room->version, state);
    e->sender_may_notify_room = levels.user_level(e->sender) >= levels.notification("room");
  }
  if (e->state_key) {
    if (const auto before = room->head_state(e->type, *e->state_key)) {
      e->prev_content = before->content();
      e->prev_sender = before->sender;
      e->replaces_state = before->event_id;
    }
  }
  e->finish(text);

  auto p = std::make_unique<Prepared>();
  p->landed = std::make_shared<EventLanded>();
  p->landed->room = room;
  p->landed->event = e;
  p->pdu = std::move(built.json);
  p->extra = event.redact_target ? repo::extra_of_redaction(*e, event.redact_target->pos) : extra_of(*e);
  p->redact_target = std::move(event.redact_target);
  room->take_off(std::move(e));
  return p;
}

// Commit thread: touches nothing of the room's memory.
void Writer::write(journal::Tx& tx, Prepared& p) {
  auto& c = tx.sql();
  const Event& e = *p.landed->event;
  const Position pos = tx.append_stored(kind::kEvent, p.landed, e.room_num);
  repo::insert_event(c, pos, e.room_num, e.event_id, p.pdu, p.extra);
  if (e.state_key) {
    repo::set_state(c, e.room_num, e.type, *e.state_key, pos);
    if (e.type == "m.room.member") {
      // Parsed here again: Event::object() caches, and the cache belongs to the loop.
      const auto content = must_parse_object(e.content());
      repo::set_membership(c, *e.state_key, e.room_num, get_string(content, "membership").value_or(""), pos);
    }
  }
  if (e.relation) {
    repo::insert_relation(c, e.room_num, pos, e);
    if (e.relation->rel_type == "m.thread") repo::touch_thread(c, e.room_num, e.relation->event_id, pos);
  }
  if (p.redact_target) {
    const Event& target = *p.redact_target;
    if (const auto pdu = repo::pdu_at(c, target.pos)) {
      const auto redacted = redact(must_parse_object(*pdu), p.landed->room->version);
      std::string text;
      if (append_canonical(text, redacted)) {
        repo::redact_event(c, target.pos, text, std::to_string(pos) + ' ' + e.event_id);
        auto gone = event_from_row(text, target.event_id, extra_of(target), e.event_id);
        gone->pos = target.pos;
        gone->room_num = target.room_num;
        append_client_event(gone->redaction_json, e, {});
        p.landed->redacted = std::move(gone);
      }
    }
  }
}

/// What was asked for, from an event that another node's made stale: prepare() took the original apart.
NewEvent Writer::anew(const Event& made, EventPtr redact_target, std::optional<WallMs> ts) {
  NewEvent event{.sender = made.sender,
                 .type = made.type,
                 .state_key = made.state_key,
                 .content = must_parse_object(made.content()),
                 .device = made.device,
                 .txn_id = made.txn_id,
                 .redact_target = std::move(redact_target)};
  event.ts = ts;
  return event;
}

/// Whether a command that was refused may be decided again; by then this node has followed what made it stale.
Task<bool> Writer::may_retry(const Error& error, journal::Position decided_at, int tries) {
  if (!error.is(journal::Errc::Stale) || tries >= kTriesMax) co_return false;
  if (journal_.position() == decided_at) (void)co_await journal_.fresh(kFollowWait);
  co_return true;
}

Task<bool> Writer::may_look_again(const Error& error) {
  if (!error.is(EventErrc::Forbidden)) co_return false;
  const auto before = journal_.position();
  (void)co_await journal_.fresh(kFollowWait);
  co_return journal_.position() != before;
}

Task<Result<EventPtr>> Writer::send(RoomPtr room, NewEvent event, std::optional<journal::Claim> claim) {
  const EventPtr target = event.redact_target;
  for (int tries = 1;; ++tries) {
    const journal::Basis basis{room->num, journal_.position()};
    auto prepared = prepare(room, event);
    if (!prepared) {
      // They may have come in a moment ago, on another node.
      if (tries == 1 && journal_.shared() && co_await may_look_again(prepared.error())) continue;
      co_return std::unexpected(std::move(prepared.error()));
    }
    auto e = (*prepared)->landed->event;
    // Everything that can refuse has been asked: the command is bare.
    auto apply = [p = *std::move(prepared)](journal::Tx& tx) -> Result<std::string> {
      write(tx, *p);
      return p->landed->event->event_id;
    };
    Result<std::string> done = claim ? co_await journal_.submit(*claim, std::move(apply), journal::Guard::Bare, basis)
                                     : co_await journal_.submit(std::move(apply), journal::Guard::Bare, basis);
    if (done) {
      if (*done == e->event_id) co_return e;
      // Another node carried out the same command a moment ago.
      room->crash(e);
      co_return co_await rooms_.event(room, *std::move(done));
    }
    give_up(*room, e, done.error());
    if (event.made_from_head || !co_await may_retry(done.error(), basis.at, tries)) {
      co_return event.made_from_head ? std::unexpected(std::move(done.error())) : too_busy(std::move(done.error()));
    }
    event = anew(*e, target, event.ts);
  }
}

Task<Result<std::vector<EventPtr>>> Writer::send_all(RoomPtr room, std::vector<NewEvent> events, ExtraRows extra,
                                                     std::optional<journal::Claim> claim) {
  for (int tries = 1;; ++tries) {
    const journal::Basis basis{room->num, journal_.position()};
    std::vector<EventPtr> targets;
    std::vector<std::unique_ptr<Prepared>> all;
    std::vector<std::shared_ptr<Event>> made;
    for (auto& event : events) {
      targets.push_back(event.redact_target);
      auto one = prepare(room, event);
      if (!one) {
        for (const auto& e : made) room->crash(e);
        co_return std::unexpected(std::move(one.error()));
      }
      made.push_back((*one)->landed->event);
      all.push_back(*std::move(one));
    }
    auto apply = [all = std::move(all), extra](journal::Tx& tx) -> Result<std::string> {
      for (const auto& p : all) write(tx, *p);
      if (extra) TRY_DO(extra(tx));
      return all.empty() ? std::string() : all.back()->landed->event->event_id;
    };
    Result<std::string> done = claim
                                   ? co_await journal_.submit(*claim, std::move(apply), journal::Guard::Guarded, basis)
                                   : co_await journal_.submit(std::move(apply), journal::Guard::Guarded, basis);
    if (done) {
      if (made.empty() || *done == made.back()->event_id) co_return std::vector<EventPtr>(made.begin(), made.end());
      for (const auto& e : made) room->crash(e);
      CO_TRY(auto last, co_await rooms_.event(room, *std::move(done)));
      co_return std::vector<EventPtr>{std::move(last)};
    }
    for (const auto& e : made) give_up(*room, e, done.error());
    if (!co_await may_retry(done.error(), basis.at, tries)) co_return too_busy(std::move(done.error()));
    for (std::size_t i = 0; i < made.size(); ++i) events[i] = anew(*made[i], targets[i], events[i].ts);
  }
}

// The id is the hash of the create event, so that is built once to learn it.
// Two rooms made alike in the same millisecond would share it: the later one is dated later.
Result<std::string> Writer::hashed_room_id(const RoomVersion& version, NewEvent& create) const {
  constexpr int kTries = 100;
  std::string text;
  TRY_DO(append_canonical(text, create.content));
  const auto now = clock_.wall_ms();
  for (int later = 0; later < kTries; ++later) {
    create.ts = now + later;
    TRY(const auto built, build_event(version, {.room_id = {},
                                                .sender = create.sender,
                                                .type = "m.room.create",
                                                .state_key = "",
                                                .content_text = text,
                                                .content = &create.content,
                                                .origin_server_ts = *create.ts,
                                                .prev_events = {},
                                                .auth_events = {},
                                                .depth = 1,
                                                .redacts = {}}));
    auto room_id = room_id_from_create(built.event_id);
    if (!rooms_.find(room_id)) return room_id;
  }
  return fail(Errc::RoomInUse, "Too many identical rooms at once; try again");
}

Task<Result<RoomPtr>> Writer::create_room(const RoomVersion& version, std::string room_id, std::vector<NewEvent> events,
                                          std::function<ExtraRows(const Room&)> extra,
                                          std::optional<journal::Claim> claim) {
  if (version.room_id_is_hash) {
    CO_TRY(room_id, hashed_room_id(version, events.front()));
  }
  const auto creator = events.front().sender;
  CO_TRY(const auto num, co_await rooms_.next_num());
  auto room = rooms_.add_new(num, std::move(room_id), version);
  ExtraRows more = extra ? extra(*room) : nullptr;
  const repo::RoomRow row{room->num, room->id, std::string(version.id)};
  const auto now = clock_.wall_ms();
  ExtraRows rows = [row, creator, now, more = std::move(more)](journal::Tx& tx) -> Result<> {
    if (repo::room_by_id(tx.sql(), row.room_id)) return fail(Errc::RoomInUse, "There is such a room already");
    repo::insert_room(tx.sql(), row, creator, now);
    return more ? more(tx) : Result<>();
  };
  // A claim's answer is the room id: submitted by hand, since send_all answers with an event id.
  std::vector<std::unique_ptr<Prepared>> all;
  for (auto& event : events) {
    auto one = prepare(room, event);
    if (!one) {
      rooms_.drop_new(room->id);
      co_return std::unexpected(std::move(one.error()));
    }
    all.push_back(*std::move(one));
  }
  auto apply = [all = std::move(all), rows = std::move(rows), id = room->id](journal::Tx& tx) -> Result<std::string> {
    TRY_DO(rows(tx));
    for (const auto& p : all) write(tx, *p);
    return id;
  };
  Result<std::string> done =
      claim ? co_await journal_.submit(*claim, std::move(apply)) : co_await journal_.submit(std::move(apply));
  if (!done) {
    rooms_.drop_new(room->id);
    co_return std::unexpected(std::move(done.error()));
  }
  if (*done == room->id) co_return room;
  // Another node carried out the same command a moment ago.
  rooms_.drop_new(room->id);
  co_return co_await rooms_.get(*std::move(done));
}

}  // namespace haechi::messenger
