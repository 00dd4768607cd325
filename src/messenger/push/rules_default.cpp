// The server-default rules as clients see them; rules_eval.cpp holds what they do.
// https://spec.matrix.org/v1.19/client-server-api/#predefined-rules
//
// Version 1.17 took the three rules away that look for mentions in the body
// (contains_display_name, roomnotif, contains_user_name). They stay here, for
// events without `m.mentions` only (as versions 1.7 to 1.16 had it), because
// clients that send no `m.mentions` would otherwise highlight nobody.

#include "messenger/push/rules.hpp"

namespace haechi::messenger::push {
namespace {

struct Definition {
  DefaultRule rule;
  Kind kind;
  std::string_view id;
  bool enabled;
  std::string_view conditions;  ///< JSON; "%u" stands for the user's id
  std::string_view actions;     ///< JSON
};

constexpr std::string_view kNothing = "[]";
constexpr std::string_view kNotify = R"(["notify"])";
constexpr std::string_view kSound = R"(["notify",{"set_tweak":"sound","value":"default"}])";
constexpr std::string_view kRing = R"(["notify",{"set_tweak":"sound","value":"ring"}])";
constexpr std::string_view kHighlight = R"(["notify",{"set_tweak":"highlight"}])";
constexpr std::string_view kSoundHighlight =
    R"(["notify",{"set_tweak":"sound","value":"default"},{"set_tweak":"highlight"}])";

constexpr std::array<Definition, kDefaultRules> kDefinitions{{
    {DefaultRule::Master, Kind::Override, ".m.rule.master", false, "[]", kNothing},
    {DefaultRule::SuppressNotices, Kind::Override, ".m.rule.suppress_notices", true,
     R"([{"kind":"event_match","key":"content.msgtype","pattern":"m.notice"}])", kNothing},
    {DefaultRule::InviteForMe, Kind::Override, ".m.rule.invite_for_me", true,
     R"([{"kind":"event_match","key":"type","pattern":"m.room.member"},)"
     R"({"kind":"event_match","key":"content.membership","pattern":"invite"},)"
     R"({"kind":"event_match","key":"state_key","pattern":"%u"}])",
     kSound},
    {DefaultRule::MemberEvent, Kind::Override, ".m.rule.member_event", true,
     R"([{"kind":"event_match","key":"type","pattern":"m.room.member"}])", kNothing},
    {DefaultRule::IsUserMention, Kind::Override, ".m.rule.is_user_mention", true,
     R"([{"kind":"event_property_contains","key":"content.m\\.mentions.user_ids","value":"%u"}])", kSoundHighlight},
    {DefaultRule::ContainsDisplayName, Kind::Override, ".m.rule.contains_display_name", true,
     R"([{"kind":"contains_display_name"}])", kSoundHighlight},
    {DefaultRule::IsRoomMention, Kind::Override, ".m.rule.is_room_mention", true,
     R"([{"kind":"event_property_is","key":"content.m\\.mentions.room","value":true},)"
     R"({"kind":"sender_notification_permission","key":"room"}])",
     kHighlight},
    {DefaultRule::RoomNotif, Kind::Override, ".m.rule.roomnotif", true,
     R"([{"kind":"event_match","key":"content.body","pattern":"@room"},)"
     R"({"kind":"sender_notification_permission","key":"room"}])",
     kHighlight},
    {DefaultRule::Tombstone, Kind::Override, ".m.rule.tombstone", true,
     R"([{"kind":"event_match","key":"type","pattern":"m.room.tombstone"},)"
     R"({"kind":"event_match","key":"state_key","pattern":""}])",
     kHighlight},
    {DefaultRule::Reaction, Kind::Override, ".m.rule.reaction", true,
     R"([{"kind":"event_match","key":"type","pattern":"m.reaction"}])", kNothing},
    {DefaultRule::ServerAcl, Kind::Override, ".m.rule.room.server_acl", true,
     R"([{"kind":"event_match","key":"type","pattern":"m.room.server_acl"},)"
     R"({"kind":"event_match","key":"state_key","pattern":""}])",
     kNothing},
    {DefaultRule::SuppressEdits, Kind::Override, ".m.rule.suppress_edits", true,
     R"([{"kind":"event_property_is","key":"content.m\\.relates_to.rel_type","value":"m.replace"}])", kNothing},
    // Its pattern is the user's localpart.
    {DefaultRule::ContainsUserName, Kind::Content, ".m.rule.contains_user_name", true, "[]", kSoundHighlight},
    {DefaultRule::Call, Kind::Underride, ".m.rule.call", true,
     R"([{"kind":"event_match","key":"type","pattern":"m.call.invite"}])", kRing},
    {DefaultRule::EncryptedOneToOne, Kind::Underride, ".m.rule.encrypted_room_one_to_one", true,
     R"([{"kind":"room_member_count","is":"2"},{"kind":"event_match","key":"type","pattern":"m.room.encrypted"}])",
     kSound},
    {DefaultRule::OneToOne, Kind::Underride, ".m.rule.room_one_to_one", true,
     R"([{"kind":"room_member_count","is":"2"},{"kind":"event_match","key":"type","pattern":"m.room.message"}])",
     kSound},
    {DefaultRule::Message, Kind::Underride, ".m.rule.message", true,
     R"([{"kind":"event_match","key":"type","pattern":"m.room.message"}])", kNotify},
    {DefaultRule::Encrypted, Kind::Underride, ".m.rule.encrypted", true,
     R"([{"kind":"event_match","key":"type","pattern":"m.room.encrypted"}])", kNotify},
}};

consteval bool in_order() {
  for (std::size_t i = 0; i < kDefinitions.size(); ++i) {
    if (static_cast<std::size_t>(kDefinitions[i].rule) != i) return false;
  }
  return true;
}
static_assert(in_order(), "the table follows the enumeration");

const Definition& definition(DefaultRule rule) { return kDefinitions[static_cast<std::size_t>(rule)]; }

/// Parsed once; the texts above are ours, so a failure is our bug and throws.
struct Parsed {
  std::array<json::array, kDefaultRules> conditions;
  std::array<ActionSet, kDefaultRules> actions;
  Parsed() {
    for (std::size_t i = 0; i < kDefaultRules; ++i) {
      conditions[i] = json::parse(kDefinitions[i].conditions).as_array();
      actions[i] = ActionSet::of(json::parse(kDefinitions[i].actions).as_array());
    }
  }
};

const Parsed& parsed() {
  static const Parsed once;
  return once;
}

}  // namespace

std::string_view default_rule_id(DefaultRule rule) { return definition(rule).id; }
Kind default_rule_kind(DefaultRule rule) { return definition(rule).kind; }

std::optional<DefaultRule> find_default_rule(Kind kind, std::string_view rule_id) {
  for (const Definition& d : kDefinitions) {
    if (d.kind == kind && d.id == rule_id) return d.rule;
  }
  return {};
}

const ActionSet& default_actions(DefaultRule rule) { return parsed().actions[static_cast<std::size_t>(rule)]; }

DefaultMask default_enabled() {
  static constexpr DefaultMask mask = [] {
    DefaultMask m = 0;
    for (const Definition& d : kDefinitions) {
      if (d.enabled) m |= mask_of(d.rule);
    }
    return m;
  }();
  return mask;
}

json::object default_rule_json(DefaultRule rule, bool enabled, const json::array& actions, std::string_view user_id) {
  const Definition& d = definition(rule);
  json::object out{{"rule_id", d.id}, {"default", true}, {"enabled", enabled}, {"actions", actions}};
  if (d.kind == Kind::Content) {
    const std::string_view from_name = user_id.substr(user_id.starts_with('@') ? 1 : 0);
    out["pattern"] = from_name.substr(0, from_name.find(':'));
    return out;
  }
  json::array conditions = parsed().conditions[static_cast<std::size_t>(rule)];
  for (json::value& condition : conditions) {
    for (auto& [key, value] : condition.as_object()) {
      if (value.is_string() && value.get_string() == "%u") value = user_id;
    }
  }
  out["conditions"] = std::move(conditions);
  return out;
}

}  // namespace haechi::messenger::push
