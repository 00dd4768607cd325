#include "messenger/rooms/upgrades.hpp"

#include <algorithm>

#include "messenger/errc.hpp"
#include "messenger/event/event_errc.hpp"

namespace haechi::messenger {
namespace {

/// While other nodes change the same room.
constexpr int kTriesMax = 20;

/// "Servers SHOULD transfer" these: what the room is, not what happened in it.
constexpr std::string_view kCopied[] = {
    "m.room.server_acl",   "m.room.encryption",         "m.room.name",       "m.room.avatar", "m.room.topic",
    "m.room.guest_access", "m.room.history_visibility", "m.room.join_rules",
};

bool is_space(const Room& room) {
  const auto* create = room.state("m.room.create");
  return create && get_string(create->object(), "type") == "m.space";
}

json::object create_event(const Room& old, const RoomVersion& version, std::string_view user,
                          const std::vector<std::string>& additional_creators) {
  json::object content;
  if (const auto* create = old.state("m.room.create")) {
    content = create->object();
    for (const auto* own : {"creator", "room_version", "predecessor", "additional_creators"}) content.erase(own);
  }
  content["room_version"] = version.id;
  if (!version.creator_is_sender) content["creator"] = user;
  // The tombstone does not exist yet, so its event id cannot stand here.
  content["predecessor"] = json::object{{"room_id", old.id}};
  if (version.creators_are_infinite) {
    json::array creators;
    for (const auto& c : additional_creators) {
      if (c != user && std::ranges::none_of(creators, [&](const json::value& v) { return sv(v.get_string()) == c; })) {
        creators.emplace_back(c);
      }
    }
    if (!creators.empty()) content["additional_creators"] = std::move(creators);
  }
  return content;
}

/// The old levels, fitted to the new room's version: its creators stand in them or beside them.
json::object levels_of(const Room& old, const RoomVersion& version, std::string_view user,
                       const std::vector<std::string>& additional_creators) {
  json::object levels;
  if (const auto* e = old.state("m.room.power_levels")) levels = e->object();
  json::object users;
  if (const auto* before = get_object(levels, "users")) users = *before;
  if (version.creators_are_infinite) {
    users.erase(user);
    for (const auto& c : additional_creators) users.erase(c);
    // "m.room.tombstone: 150": what an administrator could send, only creators can now.
    json::object events;
    if (const auto* before = get_object(levels, "events")) events = *before;
    if (get_int(events, "m.room.tombstone").value_or(0) < version.preset_tombstone_level) {
      events["m.room.tombstone"] = version.preset_tombstone_level;
    }
    levels["events"] = std::move(events);
  } else {
    // Who upgrades must be able to send the rest of the state; creators of the old room keep their place.
    std::int64_t top = 100;
    for (const auto& u : users) {
      if (u.value().is_int64()) top = std::max(top, u.value().get_int64());
    }
    if (old.version.creators_are_infinite) {
      // What only creators could do (the tombstone is at 150) must stay within somebody's reach.
      if (const auto* events = get_object(levels, "events")) {
        for (const auto& e : *events) {
          if (e.value().is_int64()) top = std::max(top, e.value().get_int64());
        }
      }
      for (const auto& m : old.members()) {
        if (old.power_levels().is_creator(m.first)) users[m.first] = top;
      }
    }
    users[user] = top;
  }
  levels["users"] = std::move(users);
  return levels;
}

std::vector<PlannedEvent> new_room_events(const Room& old, const RoomVersion& version, const std::string& user,
                                          const Profile& profile, const std::vector<std::string>& additional_creators) {
  std::vector<PlannedEvent> events;
  events.push_back({"m.room.create", "", create_event(old, version, user, additional_creators)});
  events.push_back({"m.room.member", user, member_content("join", profile)});
  events.push_back({"m.room.power_levels", "", levels_of(old, version, user, additional_creators)});
  if (const auto* e = old.state("m.room.canonical_alias")) events.push_back({e->type, "", e->object()});
  for (const auto type : kCopied) {
    if (const auto* e = old.state(type)) events.push_back({e->type, "", e->object()});
  }
  if (is_space(old)) {
    if (const auto it = old.state().find("m.space.child"); it != old.state().end()) {
      for (const auto& [key, e] : it->second) {
        if (get_array(e->object(), "via")) events.push_back({e->type, key, e->object()});
      }
    }
  }
  for (const auto& [who, e] : old.members()) {
    if (e->membership() != "ban") continue;
    json::object content{{"membership", "ban"}};
    if (const auto reason = get_string(e->object(), "reason")) content["reason"] = *reason;
    events.push_back({e->type, who, std::move(content)});
  }
  // Whoever was let upgrade without being the most powerful gets no more power than before.
  if (!version.creators_are_infinite) {
    const auto levels = old.power_levels();
    const auto before = levels.user_level(user);
    auto raised = events[2].content;
    auto& own = raised["users"].as_object()[user];
    if (before < own.as_int64()) {
      own = before;
      events.push_back({"m.room.power_levels", "", std::move(raised)});
    }
  }
  return events;
}

/// Speaking and inviting in the old room then needs what moderators have.
json::object restricted_levels(const Room& old) {
  const auto levels = old.power_levels();
  json::object content;
  if (const auto* e = old.state("m.room.power_levels")) content = e->object();
  // "[...] to the greater of 50 and users_default + 1"
  const auto needed = std::max<std::int64_t>(50, levels.users_default() + 1);
  content["events_default"] = std::max(needed, levels.events_default());
  content["invite"] = std::max(needed, levels.invite());
  return content;
}

}  // namespace

Task<Result<RoomPtr>> Upgrades::upgrade(std::string room_id, std::string user, std::string device,
                                        const RoomVersion& version, std::vector<std::string> additional_creators) {
  // 1. "Checks that the user has permission to send m.room.tombstone events in the room."
  auto found = co_await rooms_.get(std::move(room_id));
  if (!found) co_return not_in_room(std::move(found.error()));
  if ((*found)->head_membership(user) != Membership::Join) {
    co_return fail(Errc::Forbidden, "You are not in this room");
  }
  const auto old = *std::move(found);
  const auto state_event = [&](std::string type, std::string key, json::object content) {
    return NewEvent{.sender = user,
                    .type = std::move(type),
                    .state_key = std::move(key),
                    .content = std::move(content),
                    .device = device,
                    .txn_id = {},
                    .redact_target = nullptr,
                    .ts = std::nullopt};
  };
  json::object tombstone{{"body", "This room has been replaced"}, {"replacement_room", old->id}};
  CO_TRY_DO(writer_.would_allow(*old, state_event("m.room.tombstone", "", tombstone)));
  CO_TRY(const auto profile, co_await profiles_.get(user));

  // 2. and 3. "Creates a replacement room with an m.room.create event [...] and replicates transferable state events."
  auto events = new_room_events(*old, version, user, profile, additional_creators);
  const bool published = directory_.published(old->num);
  auto extra = [old_num = old->num, old_id = old->id, published](const Room& room) -> ExtraRows {
    return [old_num, old_id, published, num = room.num, id = room.id](journal::Tx& tx) -> Result<> {
      // 4. "Moves any local aliases to the new room."
      Directory::move_aliases(tx, old_num, num, id);
      if (published) {
        Directory::set_published(tx, num, id, true);
        Directory::set_published(tx, old_num, old_id, false);
      }
      return {};
    };
  };
  CO_TRY(auto made, co_await creator_.create_from(version, std::move(events), user, device, std::move(extra)));

  // 5. "Sends an m.room.tombstone event to the old room." 6. "If possible, the power levels in the old room
  // should also be modified to prevent sending of events and inviting new users."
  tombstone["replacement_room"] = made->id;
  CO_TRY_DO(co_await writer_.send(old, state_event("m.room.tombstone", "", std::move(tombstone))));
  if (const auto canonical = old->head_state("m.room.canonical_alias"); canonical && !canonical->object().empty()) {
    auto sent = co_await writer_.send(old, state_event("m.room.canonical_alias", "", {}));
    if (!sent && !sent.error().is(EventErrc::Forbidden)) co_return std::unexpected(std::move(sent.error()));
  }
  Result<EventPtr> quiet;
  for (int tries = 0; tries < kTriesMax; ++tries) {
    auto levels = state_event("m.room.power_levels", "", restricted_levels(*old));
    levels.made_from_head = true;
    quiet = co_await writer_.send(old, std::move(levels));
    if (quiet || !quiet.error().is(journal::Errc::Stale)) break;
  }
  if (!quiet && !quiet.error().is(EventErrc::Forbidden)) co_return std::unexpected(std::move(quiet.error()));
  co_return made;
}

}  // namespace haechi::messenger
