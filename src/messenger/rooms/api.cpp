#include "messenger/rooms/api.hpp"

#include "messenger/errc.hpp"
#include "messenger/event/ids.hpp"

namespace haechi::messenger {

void RoomsApi::routes(net::Router& router) {
  using net::Method;
  router.add(Method::Post, "/_matrix/client/v3/createRoom", [this](net::Request& req) { return create(req); });
  router.on<std::string>(Method::Post, "/_matrix/client/v3/rooms/{roomId}/upgrade",
                         [this](net::Request& req, std::string room) { return upgrade(req, std::move(room)); });
}

RoomsApi::Answer RoomsApi::create(net::Request& req) {
  CO_TRY(const auto session, co_await gate_.require_active(req));
  CO_TRY(const auto body, read_body(req));
  CO_TRY(auto plan, creator_.plan(body, session->user_id));
  CO_TRY_DO(gate_.joins.take(session->user_id));
  if (!plan.invite.empty()) CO_TRY_DO(gate_.invites.take(session->user_id));
  CO_TRY(const auto room, co_await creator_.create(std::move(plan), session->user_id, device_key(*session)));
  co_return reply({{"room_id", room->id}});
}

RoomsApi::Answer RoomsApi::upgrade(net::Request& req, std::string room_id) {
  CO_TRY(const auto session, co_await gate_.require_active(req));
  CO_TRY(const auto body, read_body(req));
  CO_TRY(const auto wanted, need_string(body, "new_version"));
  const auto* version = find_room_version(wanted);
  if (!version) co_return fail(Errc::UnsupportedRoomVersion, "This server does not support that room version");
  std::vector<std::string> creators;
  if (const auto* given = get(body, "additional_creators"); given && !given->is_null()) {
    if (!given->is_array()) co_return fail(Errc::BadJson, "additional_creators must be an array");
    for (const auto& v : given->get_array()) {
      if (!v.is_string() || !parse_user_id(sv(v.get_string()))) {
        co_return fail(Errc::InvalidParam, "additional_creators must hold user ids");
      }
      creators.emplace_back(sv(v.get_string()));
    }
  }
  CO_TRY_DO(gate_.joins.take(session->user_id));
  CO_TRY(const auto room, co_await upgrades_.upgrade(std::move(room_id), session->user_id, device_key(*session),
                                                     *version, std::move(creators)));
  co_return reply({{"replacement_room", room->id}});
}

}  // namespace haechi::messenger
