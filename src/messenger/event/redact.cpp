#include "messenger/event/redact.hpp"

#include <algorithm>
#include <array>
#include <span>

namespace haechi::messenger {
namespace {

using Names = std::span<const std::string_view>;

constexpr std::array<std::string_view, 12> kTopLevel{"event_id",  "type",        "room_id",     "sender",
                                                     "state_key", "content",     "hashes",      "signatures",
                                                     "depth",     "prev_events", "auth_events", "origin_server_ts"};
constexpr std::array<std::string_view, 3> kTopLevelBefore11{"origin", "membership", "prev_state"};

constexpr std::array<std::string_view, 2> kMember{"membership", "join_authorised_via_users_server"};
constexpr std::array<std::string_view, 1> kCreate{"creator"};
constexpr std::array<std::string_view, 2> kJoinRules{"join_rule", "allow"};
// `invite` stands last: it is kept from version 11 on.
constexpr std::array<std::string_view, 9> kPowerLevels{"ban",           "events", "events_default", "kick",  "redact",
                                                       "state_default", "users",  "users_default",  "invite"};
constexpr std::array<std::string_view, 1> kHistoryVisibility{"history_visibility"};
constexpr std::array<std::string_view, 1> kRedaction{"redacts"};

Names kept_keys(std::string_view type, const RoomVersion& version) noexcept {
  if (type == "m.room.member") return kMember;
  if (type == "m.room.create") return kCreate;
  if (type == "m.room.join_rules") return kJoinRules;
  if (type == "m.room.power_levels") return Names(kPowerLevels).first(version.redaction_keeps_more ? 9 : 8);
  if (type == "m.room.history_visibility") return kHistoryVisibility;
  if (type == "m.room.redaction" && version.redaction_keeps_more) return kRedaction;
  return {};
}

void keep(json::object& out, const json::object& from, Names keys) {
  for (const auto key : keys) {
    if (const auto* v = from.if_contains(key)) out.emplace(key, *v);
  }
}

}  // namespace

bool redaction_keeps_content(std::string_view type, const RoomVersion& version) noexcept {
  return !kept_keys(type, version).empty();
}

json::object redact_content(std::string_view type, const json::object& content, const RoomVersion& version) {
  if (type == "m.room.create" && version.redaction_keeps_more) return content;
  json::object out;
  keep(out, content, kept_keys(type, version));
  if (type == "m.room.member" && version.redaction_keeps_more) {
    if (const auto* invite = get_object(content, "third_party_invite")) {
      json::object kept;
      if (const auto* signed_part = get(*invite, "signed")) kept.emplace("signed", *signed_part);
      out.emplace("third_party_invite", std::move(kept));
    }
  }
  return out;
}

json::object redact(const json::object& event, const RoomVersion& version) {
  json::object out;
  keep(out, event, kTopLevel);
  if (!version.redaction_keeps_more) keep(out, event, kTopLevelBefore11);
  if (auto* content = out.if_contains("content")) {
    const auto* before = content->if_object();
    const auto type = get_string(event, "type").value_or("");
    json::value after = before ? redact_content(type, *before, version) : json::object();
    *content = std::move(after);
  }
  return out;
}

std::string_view redacts_of(const json::object& event, const RoomVersion& version) {
  if (!version.redacts_in_content) return get_string(event, "redacts").value_or("");
  const auto* content = get_object(event, "content");
  return content ? get_string(*content, "redacts").value_or("") : "";
}

}  // namespace haechi::messenger
