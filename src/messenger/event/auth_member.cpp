// Rule "if type is m.room.member": who may move whom from which membership to which.
#include <vector>

#include "base/text.hpp"
#include "messenger/event/auth_rules.hpp"
#include "messenger/event/ids.hpp"
#include "messenger/event/signing.hpp"

namespace haechi::messenger::auth {
namespace {

struct Move {
  std::string_view target;
  std::string_view target_now;  ///< membership before the event
  std::string_view sender_now;
  std::int64_t sender_level;
  std::int64_t target_level;
};

// "If the only previous event is an m.room.create and the state_key is the creator, allow."
bool is_first_join(const Context& c) {
  if (c.event.prev_events.size() != 1 || c.event.prev_events[0] != c.state.create_event_id()) return false;
  const auto sender = c.state.sender("m.room.create", "");
  if (c.version.creator_is_sender) return *c.event.state_key == sender;
  const auto* create = c.state.content("m.room.create", "");
  return create && get_string(*create, "creator") == *c.event.state_key;
}

// The server of the named member has let the user in: it must be one who could have invited them.
Result<> check_restricted(const Context& c) {
  const auto via = get_string(*c.event.content, "join_authorised_via_users_server");
  if (!via) return forbidden("the join must be authorised by a member of the room");
  if (membership_of(c.state, *via) != "join") return forbidden("the authorising user is not in the room");
  if (c.levels.user_level(*via) < c.levels.invite()) return forbidden("the authorising user may not invite");
  return {};
}

Result<> check_join(const Context& c, const Move& m) {
  if (is_first_join(c) && m.target == c.event.sender) return {};
  if (c.event.sender != m.target) return forbidden("nobody can join for somebody else");
  if (m.sender_now == "ban") return forbidden("the user is banned from this room");
  const bool in_already = m.sender_now == "join" || m.sender_now == "invite";
  const auto rule = join_rule_of(c.state);
  if (rule == "public") return {};
  if (rule == "invite" || rule == "knock") {
    return in_already ? Result<>() : forbidden("an invitation is needed to join this room");
  }
  if (rule == "restricted" || rule == "knock_restricted") return in_already ? Result<>() : check_restricted(c);
  return forbidden("the join rule of this room lets nobody in");
}

// Any key of the m.room.third_party_invite event may have made any of the signatures.
bool signed_by_known_key(const json::object& signed_part, const json::object& invite) {
  constexpr std::size_t kTriesMax = 64;
  const auto* signatures = get_object(signed_part, "signatures");
  if (!signatures) return false;
  std::vector<std::vector<std::uint8_t>> keys;
  const auto add = [&](const json::object& holder) {
    const auto text = get_string(holder, "public_key");
    if (!text || keys.size() >= kTriesMax) return;
    if (auto key = base64_decode(*text)) keys.push_back(*std::move(key));
  };
  add(invite);
  if (const auto* more = get_array(invite, "public_keys")) {
    for (const auto& entry : *more) {
      if (const auto* holder = entry.if_object()) add(*holder);
    }
  }
  std::size_t tries = 0;
  for (const auto& entity : *signatures) {
    const auto* by_key = entity.value().if_object();
    if (!by_key) continue;
    for (const auto& one : *by_key) {
      if (!std::string_view(one.key()).starts_with("ed25519:")) continue;
      for (const auto& key : keys) {
        if (++tries > kTriesMax) return false;
        if (verify_json(signed_part, entity.key(), one.key(), key)) return true;
      }
    }
  }
  return false;
}

Result<> check_third_party_invite(const Context& c, const Move& m, const json::value& given) {
  if (m.target_now == "ban") return forbidden("the user is banned from this room");
  const auto* invite = given.if_object();
  const auto* signed_part = invite ? get_object(*invite, "signed") : nullptr;
  if (!signed_part) return forbidden("third_party_invite is not signed");
  const auto mxid = get_string(*signed_part, "mxid");
  const auto token = get_string(*signed_part, "token");
  if (!mxid || !token) return forbidden("third_party_invite lacks mxid or token");
  if (*mxid != m.target) return forbidden("third_party_invite is for somebody else");
  const auto* pending = c.state.content("m.room.third_party_invite", *token);
  if (!pending) return forbidden("there is no such third-party invite");
  if (c.state.sender("m.room.third_party_invite", *token) != c.event.sender) {
    return forbidden("the third-party invite was made by somebody else");
  }
  if (!signed_by_known_key(*signed_part, *pending)) return forbidden("the third-party invite's signature is wrong");
  return {};
}

Result<> check_invite(const Context& c, const Move& m) {
  if (const auto* given = get(*c.event.content, "third_party_invite")) return check_third_party_invite(c, m, *given);
  if (m.sender_now != "join") return forbidden("only members can invite");
  if (m.target_now == "join") return forbidden(std::string(m.target) + " is already in the room");
  if (m.target_now == "ban") return forbidden(std::string(m.target) + " is banned from the room");
  if (m.sender_level < c.levels.invite()) return forbidden("power level too low to invite");
  return {};
}

Result<> check_leave(const Context& c, const Move& m) {
  if (c.event.sender == m.target) {
    if (m.sender_now == "join" || m.sender_now == "invite" || m.sender_now == "knock") return {};
    return forbidden("the user is not in the room");
  }
  if (m.sender_now != "join") return forbidden("only members can remove others");
  if (m.target_now == "ban" && m.sender_level < c.levels.ban()) return forbidden("power level too low to unban");
  if (m.sender_level < c.levels.kick()) return forbidden("power level too low to kick");
  if (m.target_level >= m.sender_level) return forbidden("the other's power level is not below the sender's");
  return {};
}

Result<> check_ban(const Context& c, const Move& m) {
  if (m.sender_now != "join") return forbidden("only members can ban");
  if (m.sender_level < c.levels.ban()) return forbidden("power level too low to ban");
  if (m.target_level >= m.sender_level) return forbidden("the other's power level is not below the sender's");
  return {};
}

Result<> check_knock(const Context& c, const Move& m) {
  const auto rule = join_rule_of(c.state);
  if (rule != "knock" && rule != "knock_restricted") return forbidden("this room does not allow knocking");
  if (c.event.sender != m.target) return forbidden("nobody can knock for somebody else");
  if (m.sender_now == "ban") return forbidden("the user is banned from this room");
  if (m.sender_now == "invite") return forbidden("the user is already invited");
  if (m.sender_now == "join") return forbidden("the user is already in the room");
  return {};
}

}  // namespace

Result<> check_member(const Context& c) {
  const auto membership = get_string(*c.event.content, "membership");
  if (!c.event.state_key || !membership) return bad_json("m.room.member needs a state key and a membership");
  const auto target = *c.event.state_key;
  if (!parse_user_id(target)) return bad_json("the state key of m.room.member must be a user id");
  const Move m{target, membership_of(c.state, target), membership_of(c.state, c.event.sender),
               c.levels.user_level(c.event.sender), c.levels.user_level(target)};
  if (*membership == "join") return check_join(c, m);
  if (*membership == "invite") return check_invite(c, m);
  if (*membership == "leave") return check_leave(c, m);
  if (*membership == "ban") return check_ban(c, m);
  if (*membership == "knock") return check_knock(c, m);
  return forbidden("unknown membership");
}

}  // namespace haechi::messenger::auth
