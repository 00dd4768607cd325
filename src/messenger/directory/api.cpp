#include "messenger/directory/api.hpp"

#include "messenger/errc.hpp"

namespace haechi::messenger {
namespace {

bool world_readable(const Room& room) {
  const auto* e = room.state("m.room.history_visibility");
  return e && get_string(e->object(), "history_visibility") == "world_readable";
}

}  // namespace

void DirectoryApi::routes(net::Router& router) {
  using net::Method;
  using S = std::string;
  const S v3 = "/_matrix/client/v3";
  const S alias = v3 + "/directory/room/{roomAlias}";
  router.on<S>(Method::Get, alias, [this](net::Request& req, S a) { return get_alias(req, std::move(a)); });
  router.on<S>(Method::Put, alias, [this](net::Request& req, S a) { return put_alias(req, std::move(a)); });
  router.on<S>(Method::Delete, alias, [this](net::Request& req, S a) { return delete_alias(req, std::move(a)); });
  router.on<S>(Method::Get, v3 + "/rooms/{roomId}/aliases",
               [this](net::Request& req, S r) { return room_aliases(req, std::move(r)); });
  const S list = v3 + "/directory/list/room/{roomId}";
  router.on<S>(Method::Get, list, [this](net::Request& req, S r) { return get_visibility(req, std::move(r)); });
  router.on<S>(Method::Put, list, [this](net::Request& req, S r) { return put_visibility(req, std::move(r)); });
  for (const auto method : {Method::Put, Method::Delete}) {
    router.on<S, S>(method, v3 + "/directory/list/appservice/{networkId}/{roomId}",
                    [this](net::Request& req, S n, S r) { return appservice_list(req, std::move(n), std::move(r)); });
  }
  router.add(Method::Get, v3 + "/publicRooms", [this](net::Request& req) { return get_public_rooms(req); });
  router.add(Method::Post, v3 + "/publicRooms", [this](net::Request& req) { return post_public_rooms(req); });
}

DirectoryApi::Answer DirectoryApi::get_alias(net::Request&, std::string alias) {
  if (!alias.starts_with('#')) co_return fail(Errc::InvalidParam, "Not a room alias");
  CO_TRY(const auto room_id, co_await directory_.resolve(std::move(alias)));
  co_return reply({{"room_id", room_id}, {"servers", json::array{json::string(directory_.server_name())}}});
}

DirectoryApi::Answer DirectoryApi::put_alias(net::Request& req, std::string alias) {
  CO_TRY(const auto session, co_await gate_.require_active(req));
  CO_TRY_DO(directory_.check_local(alias));
  CO_TRY(const auto body, read_body(req));
  CO_TRY(auto room_id, need_string(body, "room_id"));
  // "409: A room alias with that name already exists": also for who could not have made it.
  CO_TRY(const auto taken, co_await directory_.lookup(alias));
  if (taken) co_return fail(haechi::Errc::Conflict, "The alias is already taken");
  CO_TRY(auto room, co_await rooms_.get(std::move(room_id)));
  if (room->membership(session->user_id) != Membership::Join && !session->admin) {
    co_return fail(Errc::Forbidden, "You must be in the room to give it an alias");
  }
  CO_TRY_DO(co_await directory_.put_alias(std::move(alias), std::move(room), session->user_id));
  co_return net::Response::empty_object();
}

DirectoryApi::Answer DirectoryApi::delete_alias(net::Request& req, std::string alias) {
  CO_TRY(const auto session, co_await gate_.require_active(req));
  CO_TRY_DO(directory_.check_local(alias));
  CO_TRY_DO(
      co_await directory_.remove_alias(std::move(alias), {session->user_id, device_key(*session), session->admin}));
  co_return net::Response::empty_object();
}

DirectoryApi::Answer DirectoryApi::room_aliases(net::Request& req, std::string room_id) {
  CO_TRY(const auto session, co_await gate_.require(req, Guests::Allowed));
  auto found = co_await rooms_.get(std::move(room_id));
  if (!found) co_return not_in_room(std::move(found.error()));
  if ((*found)->membership(session->user_id) != Membership::Join && !world_readable(**found)) {
    co_return fail(Errc::Forbidden, "You are not in this room");
  }
  CO_TRY(const auto aliases, co_await directory_.aliases_of((*found)->num));
  co_return reply({{"aliases", json::array(aliases.begin(), aliases.end())}});
}

DirectoryApi::Answer DirectoryApi::get_visibility(net::Request&, std::string room_id) {
  CO_TRY_DO(co_await gate_.fresh());
  CO_TRY(const auto room, co_await rooms_.get(std::move(room_id)));
  co_return reply({{"visibility", directory_.published(room->num) ? "public" : "private"}});
}

DirectoryApi::Answer DirectoryApi::put_visibility(net::Request& req, std::string room_id) {
  CO_TRY(const auto session, co_await gate_.require_active(req));
  CO_TRY(const auto body, read_body(req, EmptyBody::IsObject));
  auto wanted = std::string("public");
  if (body.contains("visibility")) {
    CO_TRY(wanted, need_string(body, "visibility"));
  }
  if (wanted != "public" && wanted != "private")
    co_return fail(Errc::InvalidParam, "visibility must be public or private");
  CO_TRY(auto room, co_await rooms_.get(std::move(room_id)));
  const auto& user = session->user_id;
  const bool may =
      room->membership(user) == Membership::Join && room->power_levels().can_send(user, "m.room.canonical_alias", true);
  if (!may && !session->admin) co_return fail(Errc::Forbidden, "Only who may name the room can publish it");
  CO_TRY_DO(co_await directory_.publish(std::move(room), wanted == "public"));
  co_return net::Response::empty_object();
}

Result<> DirectoryApi::refuse_other_server(net::Request& req) const {
  const auto server = req.param("server");
  if (!server || server->empty() || *server == directory_.server_name()) return {};
  return fail(Errc::Forbidden, "This server does not talk to other servers");
}

DirectoryApi::Answer DirectoryApi::get_public_rooms(net::Request& req) {
  CO_TRY_DO(co_await gate_.fresh());
  CO_TRY_DO(refuse_other_server(req));
  json::object body;
  if (req.param("limit")) {
    const auto limit = req.param_int("limit");
    if (!limit) co_return fail(Errc::InvalidParam, "limit must be a number");
    body["limit"] = *limit;
  }
  if (auto since = req.param("since")) body["since"] = *std::move(since);
  CO_TRY(auto query, public_rooms_query(body));
  CO_TRY(const auto page, co_await directory_.public_rooms(std::move(query)));
  co_return reply(page);
}

DirectoryApi::Answer DirectoryApi::post_public_rooms(net::Request& req) {
  CO_TRY_DO(co_await gate_.require(req, Guests::Allowed));
  CO_TRY_DO(refuse_other_server(req));
  CO_TRY(const auto body, read_body(req, EmptyBody::IsObject));
  CO_TRY(auto query, public_rooms_query(body));
  CO_TRY(const auto page, co_await directory_.public_rooms(std::move(query)));
  co_return reply(page);
}

DirectoryApi::Answer DirectoryApi::appservice_list(net::Request& req, std::string, std::string) {
  CO_TRY_DO(co_await gate_.require(req));
  co_return fail(Errc::Forbidden, "Only application services keep lists of their own");
}

}  // namespace haechi::messenger
