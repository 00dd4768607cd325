#include "messenger/rooms/members.hpp"

#include "messenger/errc.hpp"
#include "messenger/event/canonical.hpp"
#include "messenger/event/ids.hpp"
#include "messenger/kinds.hpp"
#include "messenger/rooms/preset.hpp"
#include "messenger/rooms/repo.hpp"

namespace haechi::messenger {
namespace {

/// While other nodes change the same room.
constexpr int kTriesMax = 20;

json::object bare_content(std::string_view membership, const Members::Reason& reason) {
  json::object content{{"membership", membership}};
  if (reason) content["reason"] = *reason;
  return content;
}

std::string_view head_text(const Room& room, std::string_view type, std::string_view key, std::string_view fallback) {
  const auto e = room.head_state(type);
  return e ? get_string(e->object(), key).value_or(fallback) : fallback;
}

/// Somebody in the room who may invite: the restricted join is their word.
std::optional<std::string> somebody_who_invites(const Room& room) {
  const auto levels = room.power_levels();
  const auto fits = [&](std::string_view user) {
    return room.membership(user) == Membership::Join && levels.user_level(user) >= levels.invite();
  };
  if (fits(room.creator())) return std::string(room.creator());
  if (const auto* e = room.state("m.room.power_levels")) {
    if (const auto* users = get_object(e->object(), "users")) {
      for (const auto& u : *users) {
        if (fits(u.key())) return std::string(u.key());
      }
    }
  }
  for (const auto& m : room.members()) {
    if (fits(m.first)) return m.first;
  }
  return std::nullopt;
}

}  // namespace

Task<Result<>> Members::settled(RoomPtr room) {
  if (!room->has_flight()) co_return {};
  co_return co_await journal_.submit([](journal::Tx&) -> Result<> { return {}; }, journal::Guard::Bare);
}

Task<Result<>> Members::steadily(std::function<Task<Result<>>()> once) {
  for (int tries = 0; tries < kTriesMax; ++tries) {
    auto done = co_await once();
    if (done || !done.error().is(journal::Errc::Stale)) co_return done;
  }
  co_return fail(haechi::Errc::Unavailable, "Too much happens in this room at once; try again");
}

Task<Result<>> Members::move(RoomPtr room, Actor who, std::string target, json::object content) {
  // The same move twice is one event: clients repeat what they got no answer to.
  if (const auto now = room->head_state("m.room.member", target); now && now->sender == who.user) {
    std::string text;
    CO_TRY_DO(append_canonical(text, content));
    if (text == now->content()) co_return co_await settled(std::move(room));
  }
  NewEvent event{.sender = std::move(who.user),
                 .type = "m.room.member",
                 .state_key = std::move(target),
                 .content = std::move(content),
                 .device = std::move(who.device),
                 .txn_id = {},
                 .redact_target = nullptr,
                 .ts = std::nullopt,
                 .made_from_head = true};
  CO_TRY_DO(co_await writer_.send(std::move(room), std::move(event)));
  co_return {};
}

Task<Result<std::string>> Members::authorising_member(RoomPtr room, std::string user) {
  const auto rules = room->head_state("m.room.join_rules");
  const auto* allow = rules ? get_array(rules->object(), "allow") : nullptr;
  bool allowed = false;
  if (allow) {
    for (const auto& v : *allow) {
      const auto* o = v.if_object();
      if (!o || get_string(*o, "type") != "m.room_membership") continue;
      const auto id = get_string(*o, "room_id");
      if (!id) continue;
      const auto other = co_await rooms_.get(std::string(*id));
      if (other && (*other)->membership(user) == Membership::Join) {
        allowed = true;
        break;
      }
    }
  }
  if (!allowed) co_return fail(Errc::Forbidden, "You are in none of the rooms whose members may join");
  auto by = somebody_who_invites(*room);
  if (!by) co_return fail(Errc::UnableToGrantJoin, "Nobody in the room can authorise the join");
  co_return *std::move(by);
}

Task<Result<std::optional<std::string>>> Members::admit(RoomPtr room, Actor who) {
  if (who.guest && head_text(*room, "m.room.guest_access", "guest_access", "forbidden") != "can_join") {
    co_return fail(Errc::GuestAccessForbidden, "Guests cannot join this room");
  }
  const auto now = room->head_membership(who.user);
  const auto rule = head_text(*room, "m.room.join_rules", "join_rule", "invite");
  if (rule != "restricted" && rule != "knock_restricted") co_return std::nullopt;
  if (now == Membership::Invite || now == Membership::Join || now == Membership::Ban) co_return std::nullopt;
  CO_TRY(auto by, co_await authorising_member(std::move(room), std::move(who.user)));
  co_return by;
}

Task<Result<>> Members::join(RoomPtr room, Actor who, Reason reason, json::object extra) {
  return steadily([=, this] { return join_now(room, who, reason, extra); });
}

Task<Result<>> Members::join_now(RoomPtr room, Actor who, Reason reason, json::object extra) {
  if (room->head_membership(who.user) == Membership::Join) co_return co_await settled(std::move(room));
  CO_TRY(auto by, co_await admit(room, who));
  CO_TRY(const auto profile, co_await profiles_.get(who.user));
  auto content = member_content("join", profile);
  for (auto& [key, value] : extra) {
    const bool ours = key == "membership" || key == "displayname" || key == "avatar_url" || key == "is_direct" ||
                      key == "join_authorised_via_users_server" || key.starts_with("third_party_");
    if (!ours) content.insert_or_assign(key, std::move(value));
  }
  if (reason) content["reason"] = *reason;
  if (by) content["join_authorised_via_users_server"] = *std::move(by);
  // Somebody else's request may have joined them while this one read.
  if (room->head_membership(who.user) == Membership::Join) co_return co_await settled(std::move(room));
  auto user = who.user;
  co_return co_await move(std::move(room), std::move(who), std::move(user), std::move(content));
}

Task<Result<>> Members::knock(RoomPtr room, Actor who, Reason reason) {
  return steadily([=, this] { return knock_now(room, who, reason); });
}

Task<Result<>> Members::knock_now(RoomPtr room, Actor who, Reason reason) {
  CO_TRY(const auto profile, co_await profiles_.get(who.user));
  auto content = member_content("knock", profile);
  if (reason) content["reason"] = *reason;
  auto user = who.user;
  co_return co_await move(std::move(room), std::move(who), std::move(user), std::move(content));
}

Task<Result<>> Members::leave(RoomPtr room, Actor who, Reason reason) {
  return steadily([=, this] { return leave_now(room, who, reason); });
}

Task<Result<>> Members::leave_now(RoomPtr room, Actor who, Reason reason) {
  const auto now = room->head_membership(who.user);
  if (now == Membership::Leave) co_return co_await settled(std::move(room));
  if (now == Membership::None) co_return fail(Errc::Forbidden, "You are not in this room");
  auto user = who.user;
  co_return co_await move(std::move(room), std::move(who), std::move(user), bare_content("leave", reason));
}

Task<Result<>> Members::invite(RoomPtr room, Actor who, std::string target, Reason reason) {
  return steadily([=, this] { return invite_now(room, who, target, reason); });
}

Task<Result<>> Members::invite_now(RoomPtr room, Actor who, std::string target, Reason reason) {
  if (server_of(target) != server_of(who.user))
    co_return fail(Errc::Forbidden, "This server does not talk to other servers");
  CO_TRY(const auto profile, co_await profiles_.get(target));
  auto content = member_content("invite", profile);
  if (reason) content["reason"] = *reason;
  co_return co_await move(std::move(room), std::move(who), std::move(target), std::move(content));
}

Task<Result<>> Members::kick(RoomPtr room, Actor who, std::string target, Reason reason) {
  return steadily([=, this] { return kick_now(room, who, target, reason); });
}

Task<Result<>> Members::kick_now(RoomPtr room, Actor who, std::string target, Reason reason) {
  const auto now = room->head_membership(target);
  if (now != Membership::Join && now != Membership::Invite && now != Membership::Knock) {
    co_return fail(Errc::Forbidden, "The user is not in the room");
  }
  co_return co_await move(std::move(room), std::move(who), std::move(target), bare_content("leave", reason));
}

Task<Result<>> Members::ban(RoomPtr room, Actor who, std::string target, Reason reason) {
  return steadily([=, this] { return ban_now(room, who, target, reason); });
}

Task<Result<>> Members::ban_now(RoomPtr room, Actor who, std::string target, Reason reason) {
  co_return co_await move(std::move(room), std::move(who), std::move(target), bare_content("ban", reason));
}

Task<Result<>> Members::unban(RoomPtr room, Actor who, std::string target, Reason reason) {
  return steadily([=, this] { return unban_now(room, who, target, reason); });
}

Task<Result<>> Members::unban_now(RoomPtr room, Actor who, std::string target, Reason reason) {
  if (room->head_membership(target) != Membership::Ban) co_return fail(Errc::Forbidden, "The user is not banned");
  co_return co_await move(std::move(room), std::move(who), std::move(target), bare_content("leave", reason));
}

Task<Result<>> Members::forget(std::string room_id, std::string user) {
  CO_TRY(const auto room, co_await rooms_.get(room_id));
  co_return co_await journal_.submit([num = room->num, room_id, user](journal::Tx& tx) -> Result<> {
    const auto membership = repo::rooms::membership(tx.sql(), num, user);
    if (membership == "join" || membership == "invite" || membership == "knock") {
      return fail(Errc::Unknown, "You are still in the room: leave it first");
    }
    if (!repo::rooms::forget(tx.sql(), num, user)) return {};
    tx.append(kind::kForget, user, to_text(json::object{{"room", room_id}}));
    return {};
  });
}

Task<Result<std::vector<std::string>>> Members::joined_rooms(std::string user) {
  co_return co_await readers_.read(
      [&](store::Connection& c) -> Result<std::vector<std::string>> { return repo::rooms::joined_rooms(c, user); });
}

}  // namespace haechi::messenger
