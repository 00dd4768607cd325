#include "messenger/api/send.hpp"

#include "messenger/errc.hpp"
#include "messenger/event/canonical.hpp"

namespace haechi::messenger {
namespace {

net::Response event_id_reply(std::string_view event_id) {
  std::string body = "{\"event_id\":";
  append_json_string(body, event_id);
  body += '}';
  return reply_text(std::move(body));
}

/// Transaction ids are scoped to the device and the endpoint; the same event
/// sent by an old path and a new one is the same event.
journal::CommandKey command_key(const identity::Session& s, std::string_view what, std::string_view room,
                                std::string_view which, std::string txn_id) {
  std::string scope;
  scope.reserve(s.user_id.size() + s.device_id.size() + what.size() + room.size() + which.size() + 4);
  scope += s.user_id;
  for (const auto part : {std::string_view(s.device_id), what, room, which}) {
    scope += '|';
    scope += part;
  }
  return {std::move(scope), std::move(txn_id)};
}

}  // namespace

void SendApi::routes(net::Router& router) {
  using net::Method;
  using S = std::string;
  const S room = "/_matrix/client/v3/rooms/{roomId}";
  router.on<S, S, S>(Method::Put, room + "/send/{eventType}/{txnId}", [this](net::Request& req, S r, S type, S txn) {
    return send(req, std::move(r), std::move(type), std::move(txn));
  });
  router.on<S, S, S>(Method::Put, room + "/redact/{eventId}/{txnId}", [this](net::Request& req, S r, S event, S txn) {
    return redact(req, std::move(r), std::move(event), std::move(txn));
  });
  router.on<S, S, S>(Method::Put, room + "/state/{eventType}/{stateKey}",
                     [this](net::Request& req, S r, S type, S key) {
                       return put_state(req, std::move(r), std::move(type), std::move(key));
                     });
  for (const auto* end : {"/state/{eventType}", "/state/{eventType}/"}) {
    router.on<S, S>(Method::Put, room + end, [this](net::Request& req, S r, S type) {
      return put_state(req, std::move(r), std::move(type), {});
    });
  }
}

SendApi::Answer SendApi::send(net::Request& req, std::string room_id, std::string type, std::string txn_id) {
  auto session = gate_.at_hand(req, Memory::MayLag);
  if (!session) {
    CO_TRY(session, co_await gate_.require_active(req, Guests::Allowed));
  }
  CO_TRY(auto claim, co_await journal_.claim(command_key(*session, "send", room_id, type, txn_id)));
  if (claim.answer()) co_return event_id_reply(*claim.answer());
  CO_TRY_DO(gate_.messages.take(session->user_id));

  auto room = rooms_.find(room_id);
  if (!room) {
    auto found = co_await rooms_.get(room_id);
    if (!found) co_return not_in_room(std::move(found.error()));
    room = *std::move(found);
  }
  CO_TRY(auto content, read_body(req));
  NewEvent event{.sender = session->user_id,
                 .type = std::move(type),
                 .state_key = std::nullopt,
                 .content = std::move(content),
                 .device = device_key(*session),
                 .txn_id = std::move(txn_id),
                 .redact_target = nullptr,
                 .ts = std::nullopt};
  if (event.content.if_contains("m.relates_to")) {
    if (journal_.shared()) CO_TRY_DO(co_await gate_.fresh(Gate::Patience::Much));
    CO_TRY_DO(co_await relations_.check(room, event));
  }
  CO_TRY(const auto sent, co_await writer_.send(std::move(room), std::move(event), std::move(claim)));
  co_return event_id_reply(sent->event_id);
}

SendApi::Answer SendApi::redact(net::Request& req, std::string room_id, std::string event_id, std::string txn_id) {
  CO_TRY(auto session, co_await gate_.require(req));
  CO_TRY(auto claim, co_await journal_.claim(command_key(*session, "redact", room_id, event_id, txn_id)));
  if (claim.answer()) co_return event_id_reply(*claim.answer());
  CO_TRY_DO(gate_.messages.take(session->user_id));
  CO_TRY(auto body, read_body(req, EmptyBody::IsObject));
  auto found = co_await rooms_.get(room_id);
  if (!found) co_return not_in_room(std::move(found.error()));
  if ((*found)->head_membership(session->user_id) != Membership::Join) {
    co_return fail(Errc::Forbidden, "You are not in this room");
  }
  CO_TRY(auto target, co_await rooms_.event(*found, std::move(event_id)));
  // "The user can redact their own events": not those of others.
  if (session->suspended && target->sender != session->user_id)
    co_return fail(Errc::UserSuspended, "This account is suspended");
  json::object content;
  if (const auto reason = get_string(body, "reason")) content["reason"] = *reason;
  NewEvent event{.sender = session->user_id,
                 .type = "m.room.redaction",
                 .state_key = std::nullopt,
                 .content = std::move(content),
                 .device = device_key(*session),
                 .txn_id = std::move(txn_id),
                 .redact_target = std::move(target),
                 .ts = std::nullopt};
  CO_TRY(const auto sent, co_await writer_.send(*found, std::move(event), std::move(claim)));
  co_return event_id_reply(sent->event_id);
}

// The way around /join and /invite: what those ask for is asked for here too.
Task<Result<>> SendApi::check_member(RoomPtr room, SessionPtr session, std::string target, json::object& content) {
  const auto wanted = get_string(content, "membership");
  if (wanted == "invite") co_return gate_.invites.take(session->user_id);
  if (wanted != "join" || target != session->user_id || room->head_membership(target) == Membership::Join) co_return {};
  CO_TRY_DO(gate_.joins.take(session->user_id));
  // Who vouches in a restricted room is the server's to say.
  content.erase("join_authorised_via_users_server");
  CO_TRY(auto by, co_await members_.admit(std::move(room), actor_of(*session)));
  if (by) content["join_authorised_via_users_server"] = *std::move(by);
  co_return {};
}

SendApi::Answer SendApi::put_state(net::Request& req, std::string room_id, std::string type, std::string key) {
  CO_TRY(auto session, co_await gate_.require_active(req, Guests::Allowed));
  CO_TRY_DO(gate_.messages.take(session->user_id));
  CO_TRY(auto content, read_body(req));
  if (type == "m.room.create") co_return fail(Errc::BadJson, "A room is created once, by createRoom");
  auto found = co_await rooms_.get(room_id);
  if (!found) co_return not_in_room(std::move(found.error()));
  auto room = *std::move(found);
  if (type == "m.room.member") CO_TRY_DO(co_await check_member(room, session, key, content));
  if (type == "m.room.canonical_alias") CO_TRY_DO(co_await aliases_.check_canonical(room, content));
  // Setting what is set already is no event: clients repeat such requests after a lost answer.
  if (const auto now = room->head_state(type, key); now && now->sender == session->user_id && now->pos > 0) {
    std::string text;
    CO_TRY_DO(append_canonical(text, content));
    if (text == now->content() && room->head_membership(session->user_id) == Membership::Join) {
      co_return event_id_reply(now->event_id);
    }
  }
  NewEvent event{.sender = session->user_id,
                 .type = std::move(type),
                 .state_key = std::move(key),
                 .content = std::move(content),
                 .device = device_key(*session),
                 .txn_id = {},
                 .redact_target = nullptr,
                 .ts = std::nullopt};
  CO_TRY(const auto sent, co_await writer_.send(std::move(room), std::move(event)));
  co_return event_id_reply(sent->event_id);
}

}  // namespace haechi::messenger
