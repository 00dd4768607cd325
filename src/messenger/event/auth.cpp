#include "messenger/event/auth.hpp"

#include <algorithm>

#include "messenger/event/auth_rules.hpp"
#include "messenger/event/hash.hpp"
#include "messenger/event/ids.hpp"

namespace haechi::messenger {
namespace auth {

// Rule 1: if type is m.room.create.
Result<> check_create(const RoomVersion& version, const AuthEvent& event) {
  const auto& content = *event.content;
  if (event.state_key != "") return forbidden("m.room.create needs an empty state key");
  // "If it has any prev_events, reject."
  if (!event.prev_events.empty()) return forbidden("m.room.create must be the first event");
  if (version.room_id_is_hash) {
    // "If the event has a room_id, reject."
    if (!event.room_id.empty()) return forbidden("m.room.create has no room_id in this room version");
  } else if (server_of(event.room_id) != server_of(event.sender)) {
    // "If the domain of the room_id does not match the domain of the sender, reject."
    return forbidden("the room id is of another server than its creator");
  }
  // "If content.room_version is present and is not a recognised version, reject." Absent means version 1.
  const auto* id = get(content, "room_version");
  if (!id || !id->is_string() || sv(id->get_string()) != version.id) return forbidden("unsupported room version");
  // "If content has no creator property, reject."
  if (!version.creator_is_sender && !get_string(content, "creator")) return forbidden("m.room.create needs a creator");
  // "If additional_creators is present in content and is not an array of strings where each
  // string passes the same user ID validation applied to sender, reject."
  if (version.creators_are_infinite) {
    if (const auto* others = get(content, "additional_creators")) {
      const auto* list = others->if_array();
      const bool fine = list && std::all_of(list->begin(), list->end(), [](const json::value& v) {
                          return v.is_string() && parse_user_id(sv(v.get_string()));
                        });
      if (!fine) return bad_json("additional_creators must be a list of user ids");
    }
  }
  return {};
}

namespace {

Result<> check_existing_room(const RoomVersion& version, const AuthEvent& event, const StateView& state) {
  const auto* create = state.content("m.room.create", "");
  if (!create) return forbidden("the room does not exist");
  // v12: "If the event's room_id is not an event ID for an accepted m.room.create event, with
  // the sigil ! instead of $, reject."
  if (version.room_id_is_hash && event.room_id.substr(event.room_id.empty() ? 0 : 1) !=
                                     state.create_event_id().substr(state.create_event_id().empty() ? 0 : 1)) {
    return forbidden("the event belongs to another room");
  }
  // "If the content of the m.room.create event has the property m.federate set to false, and
  // the sender domain of the event does not match the sender domain of the create event, reject."
  if (!get_flag(*create, "m.federate", true) &&
      server_of(event.sender) != server_of(state.sender("m.room.create", ""))) {
    return forbidden("the room does not federate");
  }
  return {};
}

Result<> check_other(const Context& c) {
  const auto& event = c.event;
  // "If the sender's current membership state is not join, reject."
  if (membership_of(c.state, event.sender) != "join") {
    return forbidden(std::string(event.sender) + " is not in the room");
  }
  const auto level = c.levels.user_level(event.sender);
  // "If type is m.room.third_party_invite: allow if and only if sender's current power level is
  // greater than or equal to the invite level."
  if (event.type == "m.room.third_party_invite") {
    return level >= c.levels.invite() ? Result<>() : forbidden("power level too low to invite");
  }
  // "If the event type's required power level is greater than the sender's power level, reject."
  const auto needed = c.levels.event_level(event.type, event.state_key.has_value());
  if (needed > level) {
    return forbidden("power level " + std::to_string(needed) + " is needed to send " + std::string(event.type) +
                     ", the sender has " + std::to_string(level));
  }
  // "If the event has a state_key that starts with an @ and does not match the sender, reject."
  if (event.state_key && event.state_key->starts_with('@') && *event.state_key != event.sender) {
    return forbidden("state under a user id may be set by that user only");
  }
  if (event.type == "m.room.power_levels" && event.state_key) return check_power_levels(c);
  return {};
}

}  // namespace
}  // namespace auth

PowerLevels power_levels_of(const RoomVersion& version, const StateView& state) {
  if (const auto* ready = state.power_levels()) return *ready;
  return {version, state.content("m.room.power_levels", ""), state.content("m.room.create", ""),
          state.sender("m.room.create", "")};
}

std::string_view membership_of(const StateView& state, std::string_view user) {
  const auto* content = state.content("m.room.member", user);
  return content ? get_string(*content, "membership").value_or("leave") : "leave";
}

std::string_view join_rule_of(const StateView& state) {
  const auto* content = state.content("m.room.join_rules", "");
  return content ? get_string(*content, "join_rule").value_or("invite") : "invite";
}

Result<> authorize(const RoomVersion& version, const AuthEvent& event, const StateView& state) {
  if (event.type == "m.room.create") {
    if (state.content("m.room.create", "")) return auth::forbidden("the room exists already");
    return auth::check_create(version, event);
  }
  TRY_DO(auth::check_existing_room(version, event, state));
  const PowerLevels levels = power_levels_of(version, state);
  const auth::Context context{version, event, state, levels};
  return event.type == "m.room.member" ? auth::check_member(context) : auth::check_other(context);
}

AuthKeys auth_event_keys(const RoomVersion& version, const AuthEvent& event) {
  AuthKeys keys;
  if (event.type == "m.room.create") return keys;
  if (!version.room_id_is_hash) keys.push_back({"m.room.create", ""});
  keys.push_back({"m.room.power_levels", ""});
  keys.push_back({"m.room.member", event.sender});
  if (event.type != "m.room.member" || !event.state_key) return keys;
  if (*event.state_key != event.sender) keys.push_back({"m.room.member", *event.state_key});
  const auto membership = get_string(*event.content, "membership").value_or("");
  if (membership == "join" || membership == "invite" || membership == "knock")
    keys.push_back({"m.room.join_rules", ""});
  if (membership == "invite") {
    const auto* invite = get_object(*event.content, "third_party_invite");
    const auto* signed_part = invite ? get_object(*invite, "signed") : nullptr;
    if (const auto token = signed_part ? get_string(*signed_part, "token") : std::nullopt) {
      keys.push_back({"m.room.third_party_invite", *token});
    }
  }
  if (membership == "join") {
    const auto via = get_string(*event.content, "join_authorised_via_users_server");
    if (via && *via != event.sender && *via != *event.state_key) keys.push_back({"m.room.member", *via});
  }
  return keys;
}

Result<> check_auth_selection(const RoomVersion& version, const AuthEvent& event, std::span<const AuthKey> chosen) {
  const auto allowed = auth_event_keys(version, event);
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const auto rest = chosen.subspan(i + 1);
    if (std::find(rest.begin(), rest.end(), chosen[i]) != rest.end()) {
      return auth::forbidden("auth_events names " + std::string(chosen[i].type) + " twice");
    }
    if (std::find(allowed.begin(), allowed.end(), chosen[i]) == allowed.end()) {
      return auth::forbidden("auth_events holds a " + std::string(chosen[i].type) + " that does not belong there");
    }
  }
  const AuthKey create{"m.room.create", ""};
  if (!version.room_id_is_hash && event.type != "m.room.create" &&
      std::find(chosen.begin(), chosen.end(), create) == chosen.end()) {
    return auth::forbidden("auth_events lacks m.room.create");
  }
  return {};
}

Result<> may_redact(const PowerLevels& levels, std::string_view sender, std::string_view sender_of_redacted) {
  if (sender == sender_of_redacted || levels.user_level(sender) >= levels.redact()) return {};
  return auth::forbidden("power level " + std::to_string(levels.redact()) + " is needed to redact others' events");
}

}  // namespace haechi::messenger
