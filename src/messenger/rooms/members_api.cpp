#include "messenger/rooms/members_api.hpp"

#include "messenger/errc.hpp"
#include "messenger/event/ids.hpp"

namespace haechi::messenger {
namespace {

Result<Members::Reason> reason_of(const json::object& body) {
  const auto* v = get(body, "reason");
  if (!v || v->is_null()) return std::nullopt;
  if (!v->is_string()) return fail(Errc::BadJson, "reason must be a string");
  return std::string(sv(v->get_string()));
}

Result<std::string> target_of(const json::object& body) {
  if (body.contains("id_server") || body.contains("medium")) {
    return fail(Errc::ThreepidDenied, "This server knows no identity server to invite by e-mail or phone");
  }
  TRY(auto user, need_string(body, "user_id"));
  if (!parse_user_id(user)) return fail(Errc::InvalidParam, "user_id is no user id");
  return user;
}

}  // namespace

void MembersApi::routes(net::Router& router) {
  using net::Method;
  using S = std::string;
  const S v3 = "/_matrix/client/v3";
  const S room = v3 + "/rooms/{roomId}";
  router.on<S>(Method::Post, room + "/join", [this](net::Request& req, S r) { return join(req, std::move(r)); });
  router.on<S>(Method::Post, v3 + "/join/{roomIdOrAlias}",
               [this](net::Request& req, S r) { return join(req, std::move(r)); });
  router.on<S>(Method::Post, v3 + "/knock/{roomIdOrAlias}",
               [this](net::Request& req, S r) { return knock(req, std::move(r)); });
  router.on<S>(Method::Post, room + "/leave", [this](net::Request& req, S r) { return leave(req, std::move(r)); });
  router.on<S>(Method::Post, room + "/invite", [this](net::Request& req, S r) { return invite(req, std::move(r)); });
  router.on<S>(Method::Post, room + "/kick",
               [this](net::Request& req, S r) { return move(req, std::move(r), &Members::kick); });
  router.on<S>(Method::Post, room + "/ban",
               [this](net::Request& req, S r) { return move(req, std::move(r), &Members::ban); });
  router.on<S>(Method::Post, room + "/unban",
               [this](net::Request& req, S r) { return move(req, std::move(r), &Members::unban); });
  router.on<S>(Method::Post, room + "/forget", [this](net::Request& req, S r) { return forget(req, std::move(r)); });
  router.add(Method::Get, v3 + "/joined_rooms", [this](net::Request& req) { return joined(req); });
}

MembersApi::Answer MembersApi::join(net::Request& req, std::string id_or_alias) {
  CO_TRY(const auto session, co_await gate_.require_active(req, Guests::Allowed));
  CO_TRY(auto body, read_body(req, EmptyBody::IsObject));
  CO_TRY(auto reason, reason_of(body));
  CO_TRY_DO(gate_.joins.take(session->user_id));
  CO_TRY(auto room_id, co_await directory_.resolve(std::move(id_or_alias)));
  CO_TRY(auto room, co_await rooms_.get(std::move(room_id)));
  body.erase("reason");
  CO_TRY_DO(co_await members_.join(room, actor_of(*session), std::move(reason), std::move(body)));
  co_return reply({{"room_id", room->id}});
}

MembersApi::Answer MembersApi::knock(net::Request& req, std::string id_or_alias) {
  CO_TRY(const auto session, co_await gate_.require_active(req));
  CO_TRY(const auto body, read_body(req, EmptyBody::IsObject));
  CO_TRY(auto reason, reason_of(body));
  CO_TRY_DO(gate_.joins.take(session->user_id));
  CO_TRY(auto room_id, co_await directory_.resolve(std::move(id_or_alias)));
  CO_TRY(auto room, co_await rooms_.get(std::move(room_id)));
  CO_TRY_DO(co_await members_.knock(room, actor_of(*session), std::move(reason)));
  co_return reply({{"room_id", room->id}});
}

MembersApi::Answer MembersApi::leave(net::Request& req, std::string room_id) {
  // Who is suspended may still leave.
  CO_TRY(const auto session, co_await gate_.require(req, Guests::Allowed));
  CO_TRY(const auto body, read_body(req, EmptyBody::IsObject));
  CO_TRY(auto reason, reason_of(body));
  auto room = co_await rooms_.get(std::move(room_id));
  if (!room) co_return not_in_room(std::move(room.error()));
  CO_TRY_DO(co_await members_.leave(*std::move(room), actor_of(*session), std::move(reason)));
  co_return net::Response::empty_object();
}

MembersApi::Answer MembersApi::invite(net::Request& req, std::string room_id) {
  CO_TRY(const auto session, co_await gate_.require_active(req));
  CO_TRY_DO(gate_.invites.check(session->user_id));
  auto answer = co_await move(req, std::move(room_id), &Members::invite);
  if (answer) static_cast<void>(gate_.invites.take(session->user_id));
  co_return answer;
}

MembersApi::Answer MembersApi::move(net::Request& req, std::string room_id, Move how) {
  CO_TRY(const auto session, co_await gate_.require_active(req));
  CO_TRY(const auto body, read_body(req));
  CO_TRY(auto target, target_of(body));
  CO_TRY(auto reason, reason_of(body));
  auto room = co_await rooms_.get(std::move(room_id));
  if (!room) co_return not_in_room(std::move(room.error()));
  CO_TRY_DO(co_await (members_.*how)(*std::move(room), actor_of(*session), std::move(target), std::move(reason)));
  co_return net::Response::empty_object();
}

MembersApi::Answer MembersApi::forget(net::Request& req, std::string room_id) {
  CO_TRY(const auto session, co_await gate_.require(req, Guests::Allowed));
  CO_TRY_DO(co_await members_.forget(std::move(room_id), session->user_id));
  co_return net::Response::empty_object();
}

MembersApi::Answer MembersApi::joined(net::Request& req) {
  CO_TRY(const auto session, co_await gate_.require(req, Guests::Allowed));
  CO_TRY(const auto rooms, co_await members_.joined_rooms(session->user_id));
  json::array ids(rooms.begin(), rooms.end());
  co_return reply({{"joined_rooms", std::move(ids)}});
}

}  // namespace haechi::messenger
