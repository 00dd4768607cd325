#include "messenger/rooms/preset.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "messenger/errc.hpp"
#include "messenger/event/ids.hpp"

namespace haechi::messenger {
namespace {

constexpr std::size_t kInvitesMax = 1000;
constexpr std::size_t kInitialStateMax = 200;

Result<std::optional<std::string>> optional_string(const json::object& o, std::string_view key) {
  const auto* v = get(o, key);
  if (!v || v->is_null()) return std::nullopt;
  if (!v->is_string()) return fail(Errc::BadJson, std::string(key) + " must be a string");
  return std::string(sv(v->get_string()));
}

Result<const json::object*> optional_object(const json::object& o, std::string_view key) {
  const auto* v = get(o, key);
  if (!v || v->is_null()) return nullptr;
  if (!v->is_object()) return fail(Errc::BadJson, std::string(key) + " must be an object");
  return &v->get_object();
}

Result<const json::array*> optional_array(const json::object& o, std::string_view key) {
  const auto* v = get(o, key);
  if (!v || v->is_null()) return nullptr;
  if (!v->is_array()) return fail(Errc::BadJson, std::string(key) + " must be an array");
  return &v->get_array();
}

bool contains(const std::vector<std::string>& list, std::string_view text) {
  return std::ranges::find(list, text) != list.end();
}

Result<> read_preset(RoomPlan& plan, const json::object& body) {
  TRY(const auto visibility, optional_string(body, "visibility"));
  if (visibility && *visibility != "public" && *visibility != "private") {
    return fail(Errc::InvalidParam, "visibility must be public or private");
  }
  plan.published = visibility == "public";
  TRY(const auto preset, optional_string(body, "preset"));
  if (!preset) {
    plan.preset = plan.published ? Preset::PublicChat : Preset::PrivateChat;
  } else if (*preset == "private_chat") {
    plan.preset = Preset::PrivateChat;
  } else if (*preset == "trusted_private_chat") {
    plan.preset = Preset::TrustedPrivateChat;
  } else if (*preset == "public_chat") {
    plan.preset = Preset::PublicChat;
  } else {
    return fail(Errc::InvalidParam, "No such preset: " + *preset);
  }
  return {};
}

Result<> read_alias(RoomPlan& plan, const json::object& body, std::string_view server_name) {
  TRY(const auto local, optional_string(body, "room_alias_name"));
  if (!local || local->empty()) return {};
  const bool odd =
      std::ranges::any_of(*local, [](char c) { return c == ':' || static_cast<unsigned char>(c) <= ' ' || c == 0x7f; });
  auto alias = "#" + *local + ":" + std::string(server_name);
  if (odd || !parse_room_alias(alias))
    return fail(Errc::InvalidParam, "room_alias_name must be the local part of an alias");
  plan.alias = std::move(alias);
  return {};
}

Result<> read_invites(RoomPlan& plan, const json::object& body, std::string_view creator,
                      std::string_view server_name) {
  TRY(const auto* by_threepid, optional_array(body, "invite_3pid"));
  if (by_threepid && !by_threepid->empty()) {
    return fail(Errc::ThreepidDenied, "This server knows no identity server to invite by e-mail or phone");
  }
  TRY(const auto* invite, optional_array(body, "invite"));
  if (!invite) return {};
  if (invite->size() > kInvitesMax) return fail(Errc::InvalidParam, "Too many invitations at once");
  for (const auto& v : *invite) {
    if (!v.is_string()) return fail(Errc::BadJson, "invite must hold user ids");
    const auto user = sv(v.get_string());
    if (!parse_user_id(user)) return fail(Errc::InvalidParam, "invite holds something that is no user id");
    if (server_of(user) != server_name) return fail(Errc::Forbidden, "This server does not talk to other servers");
    if (user != creator && !contains(plan.invite, user)) plan.invite.emplace_back(user);
  }
  return {};
}

Result<> read_initial_state(RoomPlan& plan, const json::object& body) {
  TRY(const auto* states, optional_array(body, "initial_state"));
  if (!states) return {};
  if (states->size() > kInitialStateMax) return fail(Errc::InvalidParam, "Too many events in initial_state");
  for (const auto& v : *states) {
    const auto* o = v.if_object();
    const auto type = o ? get_string(*o, "type") : std::nullopt;
    const auto* content = o ? get_object(*o, "content") : nullptr;
    if (!type || !content) return fail(Errc::BadJson, "initial_state must hold events with a type and a content");
    TRY(auto key, optional_string(*o, "state_key"));
    InitialState state{std::string(*type), std::move(key).value_or(""), *content};
    const auto same = std::ranges::find_if(plan.initial_state, [&](const InitialState& s) {
      return s.type == state.type && s.state_key == state.state_key;
    });
    if (same == plan.initial_state.end()) plan.initial_state.push_back(std::move(state));
    else *same = std::move(state);
  }
  return {};
}

/// From room version 12 on: who shares the creator's power.
Result<> read_creators(RoomPlan& plan, std::string_view creator) {
  json::array creators;
  const auto add = [&](std::string_view user) {
    const bool known = user == creator ||
                       std::ranges::any_of(creators, [&](const json::value& v) { return sv(v.get_string()) == user; });
    if (!known) creators.emplace_back(user);
  };
  if (const auto* given = get(plan.creation_content, "additional_creators")) {
    if (!given->is_array()) return fail(Errc::BadJson, "additional_creators must be an array");
    for (const auto& v : given->get_array()) {
      if (!v.is_string() || !parse_user_id(sv(v.get_string()))) {
        return fail(Errc::InvalidParam, "additional_creators must hold user ids");
      }
      add(sv(v.get_string()));
    }
  }
  if (plan.preset == Preset::TrustedPrivateChat) {
    for (const auto& user : plan.invite) add(user);
  }
  if (const auto* users = get_object(plan.power_levels_override, "users")) {
    const bool named = users->contains(creator) || std::ranges::any_of(creators, [&](const json::value& v) {
                         return users->contains(sv(v.get_string()));
                       });
    if (named) return fail(Errc::BadJson, "Creators may not stand among the users of the power levels");
  }
  if (creators.empty()) plan.creation_content.erase("additional_creators");
  else plan.creation_content["additional_creators"] = std::move(creators);
  return {};
}

std::string_view join_rule_of(Preset p) { return p == Preset::PublicChat ? "public" : "invite"; }
std::string_view guest_access_of(Preset p) { return p == Preset::PublicChat ? "forbidden" : "can_join"; }

}  // namespace

Result<RoomPlan> plan_room(const json::object& body, std::string_view creator, std::string_view server_name,
                           std::string_view default_version) {
  RoomPlan plan;
  TRY(const auto version, optional_string(body, "room_version"));
  plan.version = find_room_version(version ? std::string_view(*version) : default_version);
  if (!plan.version) return fail(Errc::UnsupportedRoomVersion, "This server does not support that room version");
  TRY_DO(read_preset(plan, body));
  TRY_DO(read_alias(plan, body, server_name));
  TRY(plan.name, optional_string(body, "name"));
  TRY(plan.topic, optional_string(body, "topic"));
  TRY_DO(read_invites(plan, body, creator, server_name));
  TRY_DO(read_initial_state(plan, body));
  if (const auto* direct = get(body, "is_direct"); direct && !direct->is_null()) {
    if (!direct->is_bool()) return fail(Errc::BadJson, "is_direct must be true or false");
    plan.is_direct = direct->get_bool();
  }
  TRY(const auto* creation, optional_object(body, "creation_content"));
  if (creation) plan.creation_content = *creation;
  TRY(const auto* levels, optional_object(body, "power_level_content_override"));
  if (levels) plan.power_levels_override = *levels;
  if (plan.version->creators_are_infinite) TRY_DO(read_creators(plan, creator));
  return plan;
}

json::object create_content(const RoomPlan& plan, std::string_view creator) {
  json::object content = plan.creation_content;
  // "room_version" and "creator" are the server's to say, whatever creation_content holds.
  content["room_version"] = plan.version->id;
  if (plan.version->creator_is_sender) content.erase("creator");
  else content["creator"] = creator;
  return content;
}

json::object default_power_levels(const RoomPlan& plan, std::string_view creator) {
  json::object users;
  if (!plan.version->creators_are_infinite) {
    users[creator] = 100;
    // "trusted_private_chat: all invitees are given the same power level as the room creator."
    if (plan.preset == Preset::TrustedPrivateChat) {
      for (const auto& user : plan.invite) users[user] = 100;
    }
  }
  json::object levels{
      {"ban", 50},
      {"events",
       {{"m.room.avatar", 50},
        {"m.room.canonical_alias", 50},
        {"m.room.encryption", 100},
        {"m.room.history_visibility", 100},
        {"m.room.name", 50},
        {"m.room.power_levels", 100},
        {"m.room.server_acl", 100},
        {"m.room.tombstone", plan.version->preset_tombstone_level}}},
      {"events_default", 0},
      {"invite", plan.preset == Preset::PublicChat ? 50 : 0},
      {"kick", 50},
      {"notifications", {{"room", 50}}},
      {"redact", 50},
      {"state_default", 50},
      {"users", std::move(users)},
      {"users_default", 0},
  };
  for (const auto& [key, value] : plan.power_levels_override) levels[key] = value;
  return levels;
}

json::object member_content(std::string_view membership, const Profile& profile) {
  json::object content{{"membership", membership}};
  if (profile.displayname) content["displayname"] = *profile.displayname;
  if (profile.avatar_url) content["avatar_url"] = *profile.avatar_url;
  return content;
}

json::object topic_content(std::string_view topic) {
  json::object plain{{"body", topic}};
  return {{"topic", topic}, {"m.topic", {{"m.text", json::array{std::move(plain)}}}}};
}

std::vector<PlannedEvent> room_events(const RoomPlan& plan, std::string_view creator, const Profile& own,
                                      const std::vector<Profile>& invited) {
  std::vector<PlannedEvent> events;
  events.reserve(9 + plan.initial_state.size() + plan.invite.size());
  const auto given = [&](std::string_view type) {
    return std::ranges::find_if(plan.initial_state,
                                [&](const InitialState& s) { return s.type == type && s.state_key.empty(); });
  };
  const auto preset = [&](std::string_view type, std::string_view key, std::string_view value) {
    if (given(type) == plan.initial_state.end()) events.push_back({std::string(type), "", {{key, value}}});
  };
  // 1. "The m.room.create event itself." 2. "An m.room.member event for the creator."
  events.push_back({"m.room.create", "", create_content(plan, creator)});
  events.push_back({"m.room.member", std::string(creator), member_content("join", own)});
  // 3. "A default m.room.power_levels event [...] Overridden by power_level_content_override."
  if (const auto levels = given("m.room.power_levels"); levels != plan.initial_state.end()) {
    events.push_back({"m.room.power_levels", "", levels->content});
  } else {
    events.push_back({"m.room.power_levels", "", default_power_levels(plan, creator)});
  }
  // 4. "An m.room.canonical_alias event if room_alias_name is given."
  if (plan.alias) events.push_back({"m.room.canonical_alias", "", {{"alias", *plan.alias}}});
  // 5. "Events set by the preset." Those that initial_state replaces are left out.
  preset("m.room.join_rules", "join_rule", join_rule_of(plan.preset));
  preset("m.room.history_visibility", "history_visibility", "shared");
  preset("m.room.guest_access", "guest_access", guest_access_of(plan.preset));
  // 6. "Events listed in initial_state, in the order that they are listed."
  for (const auto& s : plan.initial_state) {
    if (s.type == "m.room.power_levels" && s.state_key.empty()) continue;
    events.push_back({s.type, s.state_key, s.content});
  }
  // 7. "Events implied by name and topic."
  if (plan.name) events.push_back({"m.room.name", "", {{"name", *plan.name}}});
  if (plan.topic) events.push_back({"m.room.topic", "", topic_content(*plan.topic)});
  // 8. "Invite events implied by invite."
  for (std::size_t i = 0; i < plan.invite.size(); ++i) {
    auto content = member_content("invite", i < invited.size() ? invited[i] : Profile{});
    if (plan.is_direct) content["is_direct"] = true;
    events.push_back({"m.room.member", plan.invite[i], std::move(content)});
  }
  return events;
}

}  // namespace haechi::messenger
