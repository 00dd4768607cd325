#include "messenger/relations/relations.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"
#include "messenger/errc.hpp"
#include "messenger/history/access.hpp"
#include "messenger/relations/repo.hpp"

namespace haechi::messenger {
namespace {

bool is_edit_or_annotation(const Event& e) {
  return e.relation && (e.relation->rel_type == "m.replace" || e.relation->rel_type == "m.annotation");
}

/// State, edits and annotations are never aggregated upon.
bool may_have_children(const Event& e) { return !e.is_state() && !is_edit_or_annotation(e); }

}  // namespace

bool is_valid_edit(const Event& original, const Event& edit) {
  // https://spec.matrix.org/v1.19/client-server-api/#validity-of-replacement-events
  if (original.room_num != edit.room_num || original.sender != edit.sender || original.type != edit.type) return false;
  if (original.is_state() || edit.is_state()) return false;
  if (original.relation && original.relation->rel_type == "m.replace") return false;
  // An encrypted edit has its m.new_content inside.
  return edit.type == "m.room.encrypted" || get_object(edit.object(), "m.new_content") != nullptr;
}

Relations::Relations(store::Readers& readers, Rooms& rooms, Users& users, Visibility& visibility, const Clock& clock)
    : readers_(readers), rooms_(rooms), users_(users), visibility_(visibility), clock_(clock) {}

Relations::RoomFamilies& Relations::of(std::int64_t room) {
  if (const auto it = by_room_.find(room); it != by_room_.end()) {
    recent_.splice(recent_.begin(), recent_, it->second);
    return recent_.front();
  }
  recent_.push_front(RoomFamilies{.room = room, .changes = 0, .by_parent = {}});
  by_room_.emplace(room, recent_.begin());
  if (recent_.size() > kRoomsMax) {
    by_room_.erase(recent_.back().room);
    recent_.pop_back();
  }
  return recent_.front();
}

void Relations::on_event(Room& room, const EventPtr& event) {
  if (!event->relation) return;
  const auto it = by_room_.find(room.num);
  if (it == by_room_.end()) return;
  ++it->second->changes;
  const auto at = it->second->by_parent.find(event->relation->event_id);
  if (at == it->second->by_parent.end()) return;
  Family& f = *at->second;
  if (event->pos <= f.newest) return;  // the read that made this family had it already
  f.newest = event->pos;
  const auto& rel_type = event->relation->rel_type;
  if (rel_type == "m.thread") {
    auto voice = std::ranges::find(f.thread, event->sender, &Family::Voice::sender);
    if (voice == f.thread.end()) voice = f.thread.insert(f.thread.end(), {.sender = event->sender});
    ++voice->replies;
    voice->latest = event->pos;
  } else if (rel_type == "m.replace") {
    if (is_valid_edit(*f.parent, *event)) f.edit = event;
  } else if (rel_type == "m.reference") {
    if (f.references.size() < kReferencesMax) f.references.push_back({event->event_id, event->sender});
  }
}

void Relations::on_redacted(Room& room, const EventPtr&) {
  // The redacted event does not tell any more what it related to. Redactions are rare.
  forget(room.num);
}

void Relations::forget(std::int64_t room) {
  const auto it = by_room_.find(room);
  if (it == by_room_.end()) return;
  ++it->second->changes;
  it->second->by_parent.clear();
}

Task<Result<Relations::Families>> Relations::families(RoomPtr room, std::vector<EventPtr> parents) {
  Families out;
  std::vector<EventPtr> missing;
  for (auto& e : parents) {
    if (e->pos >= room->timeline_from() && !room->parents.contains(e->event_id)) continue;
    const auto known = by_room_.find(room->num);
    if (known != by_room_.end()) {
      const auto& by_parent = of(room->num).by_parent;
      if (const auto it = by_parent.find(e->event_id); it != by_parent.end()) {
        if (!it->second->empty()) out.emplace(e->event_id, it->second);
        continue;
      }
    }
    missing.push_back(std::move(e));
  }
  if (missing.empty()) co_return out;

  const auto changes = of(room->num).changes;
  auto read = co_await readers_.read([&](store::Connection& c) -> Result<std::vector<FamilyPtr>> {
    std::vector<FamilyPtr> made;
    for (const auto& e : missing) made.push_back(std::make_shared<Family>(repo::read_family(c, e, nullptr)));
    return made;
  });
  if (!read) co_return std::unexpected(std::move(read.error()));
  auto& kept = of(room->num);
  const bool keep = kept.changes == changes;
  if (keep && kept.by_parent.size() + read->size() > kFamiliesPerRoom) kept.by_parent.clear();
  for (auto& family : *read) {
    if (keep) kept.by_parent[family->parent->event_id] = family;
    if (!family->empty()) out.emplace(family->parent->event_id, std::move(family));
  }
  co_return out;
}

Task<Result<Relations::Families>> Relations::families_for(RoomPtr room, std::string user,
                                                          std::vector<EventPtr> parents) {
  std::erase_if(parents, [&](const EventPtr& e) {
    return !may_have_children(*e) || (e->pos >= room->timeline_from() && !room->parents.contains(e->event_id));
  });
  if (parents.empty()) co_return Families{};
  Position first = INT64_MAX;
  for (const auto& e : parents) first = std::min(first, e->pos);
  if (sees_all_from(*room, user, first)) co_return co_await families(std::move(room), std::move(parents));

  CO_TRY(const auto seer, co_await visibility_.seer(room, std::move(user)));
  co_return co_await readers_.read([&](store::Connection& c) -> Result<Families> {
    Families out;
    const auto seen = [&](Position pos) {
      Event child;
      child.pos = pos;
      return seer.sees(child);
    };
    for (const auto& e : parents) {
      auto family = std::make_shared<Family>(repo::read_family(c, e, seen));
      if (!family->empty()) out.emplace(e->event_id, std::move(family));
    }
    return out;
  });
}

namespace {

/// What one bundle shows, fixed before anything waits.
struct Shown {
  std::string parent_id;
  EventPtr edit;
  std::vector<std::string> references;
  std::int64_t replies = 0;
  Position latest = 0;
  bool participated = false;
};

Shown shown_of(const Event& parent, const Family& f, std::string_view user, const TextSet* ignored) {
  const auto hidden = [&](const std::string& sender) { return ignored && ignored->contains(sender); };
  Shown s{.parent_id = parent.event_id, .edit = parent.redacted_by.empty() ? f.edit : nullptr, .references = {}};
  for (const auto& r : f.references) {
    if (!hidden(r.sender)) s.references.push_back(r.event_id);
  }
  s.participated = !f.thread.empty() && parent.sender == user;
  for (const auto& voice : f.thread) {
    if (hidden(voice.sender)) continue;
    s.replies += voice.replies;
    s.latest = std::max(s.latest, voice.latest);
    s.participated |= voice.sender == user;
  }
  return s;
}

void append_parts(std::string& out, const Shown& s, const ClientView& view) {
  if (s.edit) {
    out += "\"m.replace\":";
    append_client_event(out, *s.edit, view);
  }
  if (!s.references.empty()) {
    if (out.size() > 1) out += ',';
    out += "\"m.reference\":{\"chunk\":[";
    for (std::size_t i = 0; i < s.references.size(); ++i) {
      out += i == 0 ? "{\"event_id\":" : ",{\"event_id\":";
      append_json_string(out, s.references[i]);
      out += '}';
    }
    out += "]}";
  }
}

}  // namespace

Task<Result<Bundles>> Relations::bundles(RoomPtr room, std::string user, std::vector<EventPtr> events) {
  Bundles out;
  CO_TRY(const auto families, co_await families_for(room, user, events));
  if (families.empty()) co_return out;

  const UserState* state = users_.find(user);
  const TextSet* ignored = state && !state->ignored.empty() ? &state->ignored : nullptr;
  std::vector<Shown> all;
  std::vector<Position> latest_positions;
  for (const auto& e : events) {
    const auto it = families.find(e->event_id);
    if (it == families.end()) continue;
    all.push_back(shown_of(*e, *it->second, user, ignored));
    if (all.back().latest > 0) latest_positions.push_back(all.back().latest);
  }

  // The latest reply of a thread is shown whole, with its own edit.
  std::unordered_map<Position, EventPtr> latest;
  TextMap<Shown> of_latest;
  if (!latest_positions.empty()) {
    CO_TRY(auto replies, co_await rooms_.events_at(room, std::move(latest_positions)));
    for (const auto& e : replies) latest.emplace(e->pos, e);
    CO_TRY(const auto nested, co_await families_for(room, user, std::move(replies)));
    for (const auto& [pos, e] : latest) {
      if (const auto it = nested.find(e->event_id); it != nested.end()) {
        of_latest.emplace(e->event_id, shown_of(*e, *it->second, user, nullptr));
      }
    }
  }

  ClientView view{.with_room_id = true, .room_id = room->id, .now = clock_.wall_ms()};
  for (const auto& s : all) {
    std::string text = "{";
    append_parts(text, s, view);
    if (const auto it = latest.find(s.latest); it != latest.end()) {
      std::string inner;
      if (const auto n = of_latest.find(it->second->event_id); n != of_latest.end()) {
        inner = "{";
        append_parts(inner, n->second, view);
        inner += '}';
      }
      if (text.size() > 1) text += ',';
      text += "\"m.thread\":{\"latest_event\":";
      ClientView latest_view = view;
      latest_view.bundle = inner.size() > 2 ? std::string_view(inner) : std::string_view{};
      append_client_event(text, *it->second, latest_view);
      fmt::format_to(std::back_inserter(text), ",\"count\":{},\"current_user_participated\":{}}}", s.replies,
                     s.participated);
    }
    text += '}';
    if (text.size() > 2) out.emplace(s.parent_id, std::move(text));
  }
  co_return out;
}

Task<Result<>> Relations::check(RoomPtr room, const NewEvent& event) {
  const auto* relates_to = get_object(event.content, "m.relates_to");
  if (!relates_to) co_return {};
  const auto rel_type = get_string(*relates_to, "rel_type");
  const auto event_id = get_string(*relates_to, "event_id");
  if (!rel_type || !event_id) co_return {};
  // Who is not in the room is refused by the room, and learns nothing of its events here.
  if (room->head_membership(event.sender) != Membership::Join) co_return {};

  auto parent = co_await rooms_.event(room, std::string(*event_id));
  if (!parent) {
    if (!parent.error().is(Errc::NotFound)) co_return std::unexpected(std::move(parent.error()));
    co_return fail(Errc::Unknown, "The event that this one relates to is not in this room");
  }
  if (*rel_type == "m.thread" && (*parent)->relation) {
    co_return fail(Errc::Unknown, "A thread cannot begin on an event that relates to another");
  }
  if (*rel_type != "m.annotation") co_return {};
  const auto key = get_string(*relates_to, "key");
  if (!key) co_return {};
  if ((*parent)->pos >= room->timeline_from() && !room->parents.contains((*parent)->event_id)) co_return {};
  const auto twice = co_await readers_.read([&](store::Connection& c) -> Result<bool> {
    return repo::has_annotation(c, *event_id, event.type, event.sender, *key);
  });
  if (!twice) co_return std::unexpected(twice.error());
  if (*twice) co_return fail(Errc::DuplicateAnnotation, "You have reacted with this already");
  co_return {};
}

Task<Result<std::vector<EventPtr>>> Relations::related_by(std::vector<EventPtr> events,
                                                          std::vector<std::string> rel_types,
                                                          std::vector<std::string> senders) {
  if (events.empty() || (rel_types.empty() && senders.empty())) co_return events;
  co_return co_await readers_.read([&](store::Connection& c) -> Result<std::vector<EventPtr>> {
    std::vector<EventPtr> kept;  // not in place: the read may be repeated
    for (const auto& e : events) {
      if (repo::has_relation(c, e->event_id, rel_types, senders)) kept.push_back(e);
    }
    return kept;
  });
}

}  // namespace haechi::messenger
