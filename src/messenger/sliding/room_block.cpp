// What one room says in a sliding sync.

#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"
#include "messenger/sliding/pass.hpp"
#include "messenger/sync/newest.hpp"
#include "messenger/sync/stripped.hpp"

namespace haechi::messenger {
namespace {

using namespace sliding;

/// Patterns of state whose changes keep coming; one request may name 500.
constexpr std::size_t kStateFollowedMax = 2000;

bool is_member(const Event& e) { return e.type == "m.room.member" && e.is_state(); }

std::string_view content_text(const Event* e, std::string_view key) {
  return e ? get_string(e->object(), key).value_or("") : std::string_view{};
}

void append_text(std::string& out, std::string_view key, std::string_view text) {
  comma(out);
  append_json_string(out, key);
  out += ':';
  append_json_string(out, text);
}

/// Name, avatar and who is there, as far as they changed after `since`.
void append_summary(std::string& out, const Room& room, std::string_view self, Position since) {
  const auto changed = [&](const Event* e) { return e && e->pos > since; };
  const auto* name_event = room.state("m.room.name");
  const auto name = content_text(name_event, "name");
  if (changed(name_event) && (since == 0 ? !name.empty() : true)) {
    if (name.empty()) {
      comma(out);
      out += "\"name\":null";
    } else {
      append_text(out, "name", name);
    }
  }
  const auto* avatar_event = room.state("m.room.avatar");
  const auto avatar = content_text(avatar_event, "url");
  if (changed(avatar_event) && (since == 0 ? !avatar.empty() : true)) {
    if (avatar.empty()) {
      comma(out);
      out += "\"avatar\":null";
    } else {
      append_text(out, "avatar", avatar);
    }
  }
  if (name.empty() && room.last_state_pos() > since) {
    comma(out);
    out += "\"heroes\":[";
    for (const auto hero : heroes(room, self)) {
      const auto* member = room.state("m.room.member", hero);
      std::string one = "{";
      append_text(one, "user_id", hero);
      if (const auto text = content_text(member, "displayname"); !text.empty()) append_text(one, "displayname", text);
      if (const auto text = content_text(member, "avatar_url"); !text.empty()) append_text(one, "avatar_url", text);
      comma(out);
      out += one + '}';
    }
    out += ']';
  }
}

void append_counts(std::string& out, const Room& room, const Counts& unread, Position bump, bool direct) {
  comma(out);
  fmt::format_to(
      std::back_inserter(out),
      "\"joined_count\":{},\"invited_count\":{},\"notification_count\":{},\"highlight_count\":{},\"bump_stamp\":{}",
      room.joined_count(), room.invited_count(), unread.notify, unread.highlight, bump);
  if (direct) out += ",\"is_dm\":true";
}

}  // namespace

Task<Result<>> SlidingSync::room_block(Pass& pass, RoomPtr room, const RoomRef ref, ConfigPtr config, bool touched) {
  const auto& user = pass.user->id;
  const auto sent = pass.connection->sent(room->num);
  const bool direct = pass.connection->direct.contains(room->id);
  const auto open = [&] {
    comma(pass.rooms);
    append_json_string(pass.rooms, room->id);
    pass.rooms += ":{";
    pass.anything = true;
  };

  if (ref.membership == Membership::Invite || ref.membership == Membership::Knock) {
    if (sent && sent->membership == ref.membership && ref.pos <= sent->upto) co_return {};
    auto& next = pass.edit(room->num);
    next = {.upto = pass.now.pos, .membership = ref.membership};
    std::string block = "\"initial\":true";
    append_summary(block, *room, user, 0);
    append_counts(block, *room, {}, ref.pos, direct);
    const auto stripped = stripped_state(*room, user);
    block += ",\"invite_state\":" + stripped + ",\"stripped_state\":" + stripped;
    open();
    pass.rooms += block + '}';
    co_return {};
  }

  const bool joined = ref.membership == Membership::Join;
  const Position upto = joined ? pass.now.pos : std::min(pass.now.pos, ref.pos);
  if (!joined && sent && sent->membership == ref.membership && sent->upto >= ref.pos) co_return {};
  const bool initial = !sent || sent->membership != Membership::Join;
  const Position from = initial ? 0 : sent->upto;
  const bool news = initial || room->last_pos() > from;
  const bool expanded = !initial && config->timeline_limit > sent->timeline_limit;

  std::shared_ptr<const RequiredState> wanted(config, &config->state);
  if (sent && sent->state) {
    auto& both = pass.unions[{sent->state.get(), config.get()}];
    if (!both) {
      if (sent->state->covers(config->state)) {
        both = sent->state;
      } else {
        auto made = std::make_shared<RequiredState>(*sent->state);
        made->add(config->state);
        // Who asks for ever new state is kept up to date with the newest only.
        if (made->size() > kStateFollowedMax) *made = config->state;
        both = std::move(made);
      }
    }
    wanted = both;
  }
  const bool more_state = sent && wanted != sent->state;
  if (!news && !expanded && !more_state && !touched) co_return {};

  auto& next = pass.edit(room->num);
  next.upto = pass.now.pos;
  next.membership = ref.membership;
  next.state = wanted;

  bool sees = joined;
  if (!joined) {
    CO_TRY(const auto seer, co_await visibility_.seer(room, user));
    sees = seer.sees_anything();
  }

  std::vector<EventPtr> events;
  bool limited = false;
  const std::size_t limit = config->timeline_limit;
  if (!sees) {
    // A refused invitation: only the user's own part in it.
    CO_TRY(auto own, co_await rooms_.state_event_at(room, "m.room.member", user, upto));
    if (own && limit > 0) events.push_back(std::move(own));
  } else if (limit == 0) {
    limited = news;
  } else if (news || expanded) {
    const Position lowest = expanded ? 1 : from + 1;
    CO_TRY(auto newest, co_await newest_events(rooms_, visibility_, pass.user, room, lowest - 1, upto, limit));
    events = std::move(newest.events);
    limited = newest.limited;
  }
  const Position start = events.empty() ? upto + 1 : events.front()->pos;
  const auto live =
      std::ranges::count_if(events, [&](const EventPtr& e) { return !pass.initial && e->pos > pass.since.pos; });

  std::vector<EventPtr> state;
  if (sees) {
    std::vector<EventPtr> timeline = events;
    CO_TRY(state, co_await required_state(pass, room, from, upto, config, sent, next, std::move(timeline)));
  } else if (!events.empty() && config->state.matches("m.room.member", user, user)) {
    state = events;
  }

  Counts unread;
  if (joined) {
    CO_TRY(const auto* known, co_await sources_.unread.unread(pass.user, room));
    unread = known->main;
    for (const auto& [root, counts] : known->threads) {
      unread.notify += counts.notify;
      unread.highlight += counts.highlight;
    }
  }
  const bool recount = unread != next.unread;
  next.unread = unread;
  if (!initial && joined && events.empty() && state.empty() && !limited && !recount) co_return {};
  if (initial || !events.empty()) next.timeline_limit = limit;

  std::string block;
  if (initial) block += "\"initial\":true";
  // Who has left is not told what the room became afterwards.
  if (joined || room->last_state_pos() <= upto) append_summary(block, *room, user, from);
  append_counts(block, *room, unread, joined ? bumps_.of(*room) : ref.pos, direct);

  std::vector<EventPtr> shown = events;
  CO_TRY(const auto bundles, co_await sources_.bundles.bundles(room, user, std::move(shown)));
  ClientView view{.device = pass.device, .now = pass.wall_ms};
  block += ",\"required_state\":[";
  for (const auto& e : state) {
    comma(block);
    append_client_event(block, *e, view);
  }
  block += "],\"timeline\":[";
  const auto* own = room->state("m.room.member", user);
  const Position joined_at = joined && own ? own->pos : INT64_MAX;
  TextSet ids;
  for (const auto& e : events) {
    comma(block);
    const auto b = bundles.find(e->event_id);
    view.bundle = b == bundles.end() ? std::string_view{} : std::string_view(b->second);
    view.membership = e->pos >= joined_at ? std::string_view("join") : std::string_view{};
    append_client_event(block, *e, view);
    if (initial) ids.insert(e->event_id);
  }
  fmt::format_to(std::back_inserter(block), "],\"limited\":{},\"num_live\":{},\"prev_batch\":\"{}\"", limited, live,
                 page_token(start));
  if (expanded) block += ",\"unstable_expanded_timeline\":true";
  if (initial) pass.timelines.emplace(room->id, std::move(ids));
  open();
  pass.rooms += block + '}';
  co_return {};
}

// At the start everything asked for; then what changed of all that was ever asked for,
// what is asked for the first time, and the members of those who speak.
Task<Result<std::vector<EventPtr>>> SlidingSync::required_state(Pass& pass, RoomPtr room, Position from, Position upto,
                                                                ConfigPtr config, SentPtr sent, Sent& next,
                                                                std::vector<EventPtr> timeline) {
  const auto& self = pass.user->id;
  const bool initial = from == 0;
  std::vector<EventPtr> out;
  std::unordered_set<Position> there;
  const auto add = [&](const EventPtr& e) {
    if (there.insert(e->pos).second) out.push_back(e);
  };
  const auto known_member = [&](std::string_view user) {
    return !initial && sent && sent->members && sent->members->contains(user);
  };

  if (!initial) {
    CO_TRY(const auto changes, co_await rooms_.state_between(room, from, upto));
    for (const auto& e : changes) {
      if (next.state->matches(e->type, *e->state_key, self) || (is_member(*e) && known_member(*e->state_key))) add(e);
    }
  }
  const bool whole = initial || !sent->state || next.state != sent->state;
  if (whole) {
    const auto missing = [&](const EventPtr& e) {
      if (initial || !sent->state || !sent->state->matches(e->type, *e->state_key, self)) add(e);
    };
    if (room->last_state_pos() <= upto) {
      config->state.each(*room, self, missing);
    } else {
      CO_TRY(const auto all, co_await rooms_.state_at(room, upto));
      for (const auto& e : all) {
        if (config->state.matches(e->type, *e->state_key, self)) missing(e);
      }
    }
  }
  if (initial) next.members = nullptr;
  if (config->state.lazy()) {
    TextSet speaking;
    for (const auto& e : timeline) {
      speaking.insert(e->sender);
      if (is_member(*e)) speaking.insert(*e->state_key);
    }
    auto members = next.members ? std::make_shared<TextSet>(*next.members) : std::make_shared<TextSet>();
    bool grown = false;
    for (const auto& user : speaking) {
      if (known_member(user) || next.state->matches("m.room.member", user, self)) continue;
      CO_TRY(const auto member, co_await rooms_.state_event_at(room, "m.room.member", user, upto));
      if (!member) continue;
      add(member);
      members->insert(user);
      grown = true;
    }
    if (grown) next.members = std::move(members);
  }
  co_return out;
}

}  // namespace haechi::messenger
