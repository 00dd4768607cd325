// What one room says in a sync: timeline, state, summary, receipts, typing,
// account data, unread counts.

#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"
#include "messenger/sync/event_fields.hpp"
#include "messenger/sync/newest.hpp"
#include "messenger/sync/pass.hpp"

namespace haechi::messenger {
namespace {

constexpr std::size_t kTimelineDefault = 10;
constexpr std::size_t kTimelineMax = 1000;

bool is_member(const Event& e) { return e.type == "m.room.member" && e.is_state(); }

void append_summary(std::string& out, const Room& room, std::string_view self) {
  out += "\"summary\":{";
  out += "\"m.heroes\":[";
  for (const auto hero : heroes(room, self)) {
    comma(out);
    append_json_string(out, hero);
  }
  fmt::format_to(std::back_inserter(out), "],\"m.joined_member_count\":{},\"m.invited_member_count\":{}}}",
                 room.joined_count(), room.invited_count());
}

void append_counts(std::string& out, const Counts& c) {
  fmt::format_to(std::back_inserter(out), "{{\"highlight_count\":{},\"notification_count\":{}}}", c.highlight,
                 c.notify);
}

/// As the filter wants to see it.
void append_shown(std::string& out, const Event& e, const ClientView& view, const Filter& filter) {
  if (filter.event_fields.empty()) return append_client_event(out, e, view);
  std::string whole;
  append_client_event(whole, e, view);
  out += only_fields(whole, filter.event_fields);
}

}  // namespace

// Appends "timeline" and "state"; true when either has an event.
Task<Result<bool>> Sync::timeline_and_state(Pass& pass, RoomPtr room, Position since, Position upto, bool full,
                                            bool self_joined, std::string& out) {
  const auto& request = pass.request;
  const auto& filter = pass.filter();
  const auto& user = pass.user->id;
  const std::size_t limit = std::min(filter.timeline.limit.value_or(kTimelineDefault), kTimelineMax);

  std::vector<EventPtr> events;
  bool limited = false;
  if (filter.timeline.matches_room(room->id)) {
    CO_TRY(auto newest,
           co_await newest_events(rooms_, visibility_, pass.user, room, since, upto, limit, &filter.timeline));
    events = std::move(newest.events);
    limited = newest.limited;
  } else {
    limited = room->last_pos() > since;
  }
  // Whoever comes into a room between two syncs has a gap before what is shown, unless that is everything.
  if (since == 0 && !pass.initial && !events.empty() && events.front()->type != "m.room.create") limited = true;
  const Position start = events.empty() ? upto + 1 : events.front()->pos;

  // State: everything, or what was set between the token and the timeline.
  std::vector<EventPtr> state;
  const bool after = request.style != StateStyle::Before;
  const Position state_at = after ? upto : start - 1;
  if (full) {
    CO_TRY(state, co_await rooms_.state_at(room, state_at));
  } else if (after || limited || !filter.timeline.everything()) {
    CO_TRY(state, co_await rooms_.state_between(room, since, state_at));
  }
  const bool lazy = pass.lazy();
  if (lazy) {
    TextSet senders;
    for (const auto& e : events) senders.insert(e->sender);
    if (full) {
      std::erase_if(state, [&](const EventPtr& e) {
        return is_member(*e) && *e->state_key != user && !senders.contains(*e->state_key);
      });
      lazy_.reset(pass.device, room->num);
    } else {
      // The gap's own member changes stay; those who speak are added when this device has not had them.
      TextSet there;
      for (const auto& e : state) {
        if (is_member(*e)) there.insert(*e->state_key);
      }
      for (const auto& sender : senders) {
        if (there.contains(sender)) continue;
        if (!filter.state.include_redundant_members && !lazy_.first_time(pass.device, room->num, sender)) continue;
        CO_TRY(auto member, co_await rooms_.state_event_at(room, "m.room.member", sender, state_at));
        if (member) state.push_back(std::move(member));
      }
    }
    for (const auto& e : state) {
      if (is_member(*e)) lazy_.first_time(pass.device, room->num, *e->state_key);
    }
  }
  if (!filter.state.everything()) std::erase_if(state, [&](const EventPtr& e) { return !filter.state.matches(*e); });
  if (!filter.state.matches_room(room->id)) state.clear();

  std::vector<EventPtr> shown = events;
  CO_TRY(const auto bundles, co_await sources_.bundles.bundles(room, user, std::move(shown)));
  ClientView view{.device = pass.device, .now = pass.wall_ms};
  const Position joined_at = self_joined ? room->state("m.room.member", user)->pos : INT64_MAX;
  std::optional<Seer> stays;
  if (!events.empty() && events.front()->pos < joined_at) {
    CO_TRY(stays, co_await visibility_.seer(room, user));
  }

  comma(out);
  out += "\"timeline\":{\"events\":[";
  for (const auto& e : events) {
    comma(out);
    const auto b = bundles.find(e->event_id);
    view.bundle = b == bundles.end() ? std::string_view{} : std::string_view(b->second);
    const auto then = e->pos >= joined_at ? Membership::Join : stays->membership_at(e->pos);
    view.membership = then == Membership::None ? "leave" : membership_text(then);
    append_shown(out, *e, view, filter);
  }
  fmt::format_to(std::back_inserter(out), "],\"limited\":{},\"prev_batch\":\"{}\"}}", limited, page_token(start));

  const std::string_view name = request.style == StateStyle::Before  ? "state"
                                : request.style == StateStyle::After ? "state_after"
                                                                     : "org.matrix.msc4222.state_after";
  comma(out);
  append_json_string(out, name);
  out += ":{\"events\":[";
  view.bundle = {};
  view.membership = {};
  for (const auto& e : state) {
    comma(out);
    append_shown(out, *e, view, filter);
  }
  out += "]}";
  co_return !events.empty() || !state.empty() || limited;
}

bool Sync::append_room_data(const Pass& pass, const Room& room, std::string& out) {
  const auto it = pass.room_data->find(room.id);
  if (it == pass.room_data->end()) return false;
  comma(out);
  out += "\"account_data\":{\"events\":[";
  for (const auto* d : it->second) append_datum(out, *d);
  out += "]}";
  return true;
}

bool Sync::ephemeral(Pass& pass, const Room& room, Position since, bool full, std::string& out) const {
  const auto& filter = pass.filter().ephemeral;
  if (!filter.matches_room(room.id)) return false;
  std::string events;
  if (room.last_receipt_pos > since && filter.EventFilter::matches("m.receipt", {})) {
    const auto content = receipt_content(room, *pass.user, since, pass.now.pos);
    if (!content.empty()) events += "{\"type\":\"m.receipt\",\"content\":" + content + '}';
  }
  if ((room.typing.stamp > pass.since.stamp || (full && !room.typing.until.empty())) &&
      filter.EventFilter::matches("m.typing", {})) {
    if (!events.empty()) events += ',';
    events += "{\"type\":\"m.typing\",\"content\":" + typing_content(room, *pass.user) + '}';
  }
  if (events.empty()) return false;
  comma(out);
  out += "\"ephemeral\":{\"events\":[" + events + "]}";
  return true;
}

Task<Result<bool>> Sync::joined(Pass& pass, RoomPtr room, std::string& out) {
  const auto& user = pass.user->id;
  const Event* own = room->state("m.room.member", user);
  if (!own) co_return false;
  bool full = pass.full();
  Position since = pass.since.pos;
  bool newly = pass.initial;
  if (!pass.initial && own->pos > since) {
    CO_TRY(const auto then, co_await rooms_.state_event_at(room, "m.room.member", user, since));
    newly = !then || then->membership() != "join";
  }
  if (newly) full = true;
  const Position from = newly || pass.request.full_state ? 0 : since;
  const Position events_since = newly ? 0 : since;
  const bool any_event = room->last_pos() > events_since;

  std::string block;
  bool something = false;
  if (any_event || full) {
    // A full state without news keeps the timeline's place.
    CO_TRY(const bool shown, co_await timeline_and_state(pass, room, pass.request.full_state && !newly ? since : from,
                                                         pass.now.pos, full, true, block));
    something = shown || newly;
  } else {
    fmt::format_to(std::back_inserter(block), "\"timeline\":{{\"events\":[],\"limited\":false,\"prev_batch\":\"{}\"}}",
                   page_token(pass.now.pos + 1));
  }
  if (full || room->last_state_pos() > since) {
    comma(block);
    append_summary(block, *room, user);
  }
  // A room that is shown whole has all its parts, also empty ones: clients look into them unasked.
  if (ephemeral(pass, *room, newly ? 0 : since, full, block)) something = true;
  else if (full) block += ",\"ephemeral\":{\"events\":[]}";
  if (append_room_data(pass, *room, block)) {
    something = true;
  } else if (full) {
    block += ",\"account_data\":{\"events\":[]}";
  }
  // One's own receipt, made elsewhere, changes the counts without any event to show.
  const auto mine = room->receipts.find(user);
  if (mine != room->receipts.end()) {
    something |= std::ranges::any_of(mine->second, [&](const auto& r) { return r.second.pos > since; });
  }
  if (!something) co_return false;

  CO_TRY(const auto* unread, co_await sources_.unread.unread(pass.user, room));
  comma(block);
  block += "\"unread_notifications\":";
  if (pass.filter().timeline.unread_thread_notifications) {
    append_counts(block, unread->main);
    if (!unread->threads.empty()) {
      block += ",\"unread_thread_notifications\":{";
      for (const auto& [root, counts] : unread->threads) {
        comma(block);
        append_json_string(block, root);
        block += ':';
        append_counts(block, counts);
      }
      block += '}';
    }
  } else {
    Counts all = unread->main;
    for (const auto& [root, counts] : unread->threads) {
      all.notify += counts.notify;
      all.highlight += counts.highlight;
    }
    append_counts(block, all);
  }
  if (!out.empty()) out += ',';
  append_json_string(out, room->id);
  out += ":{";
  out += block;
  out += '}';
  pass.anything = true;
  co_return true;
}

Task<Result<bool>> Sync::left(Pass& pass, RoomPtr room, Position upto, std::string& out) {
  // As far as the leave and not beyond. Whoever was there at the token gets the
  // difference, everybody else what they may see.
  bool full = pass.initial;
  if (!pass.initial) {
    CO_TRY(const auto then, co_await rooms_.state_event_at(room, "m.room.member", pass.user->id, pass.since.pos));
    full = !then || then->membership() != "join";
  }
  CO_TRY(const auto seer, co_await visibility_.seer(room, pass.user->id));
  const bool was_in = seer.sees_anything();
  std::string block;
  if (was_in) {
    CO_TRY_DO(co_await timeline_and_state(pass, room, full ? 0 : pass.since.pos, upto, full, false, block));
  } else {
    // A refused invitation, a knock withdrawn: only the member event itself.
    CO_TRY(const auto own, co_await rooms_.state_event_at(room, "m.room.member", pass.user->id, upto));
    block += "\"timeline\":{\"events\":[";
    if (own) append_client_event(block, *own, {.device = pass.device, .now = pass.wall_ms});
    fmt::format_to(std::back_inserter(block), "],\"limited\":false,\"prev_batch\":\"{}\"}},\"state\":{{\"events\":[]}}",
                   page_token(upto));
  }
  append_room_data(pass, *room, block);
  if (!out.empty()) out += ',';
  append_json_string(out, room->id);
  out += ":{" + block + '}';
  pass.anything = true;
  co_return true;
}

}  // namespace haechi::messenger
