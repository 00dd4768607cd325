#include "messenger/history/api.hpp"

#include <algorithm>

#include "messenger/errc.hpp"

namespace haechi::messenger {

HistoryApi::HistoryApi(Gate& gate, Rooms& rooms, Users& users, Visibility& visibility, Relations& relations,
                       const Clock& clock)
    : gate_(gate),
      rooms_(rooms),
      visibility_(visibility),
      access_(rooms, users, visibility),
      pages_(rooms, visibility, relations),
      clock_(clock) {}

void HistoryApi::routes(net::Router& router) {
  using net::Method;
  using S = std::string;
  const S room = "/_matrix/client/v3/rooms/{roomId}";
  const auto on_room = [&](const S& pattern, Answer (HistoryApi::*f)(net::Request&, S)) {
    router.on<S>(Method::Get, pattern, [this, f](net::Request& req, S r) { return (this->*f)(req, std::move(r)); });
  };
  const auto on_two = [&](const S& pattern, Answer (HistoryApi::*f)(net::Request&, S, S)) {
    router.on<S, S>(Method::Get, pattern,
                    [this, f](net::Request& req, S a, S b) { return (this->*f)(req, std::move(a), std::move(b)); });
  };
  on_room(room + "/messages", &HistoryApi::messages);
  on_room(room + "/initialSync", &HistoryApi::initial_sync);
  on_room(room + "/state", &HistoryApi::state);
  on_room(room + "/members", &HistoryApi::members);
  on_room(room + "/joined_members", &HistoryApi::joined_members);
  on_room("/_matrix/client/v3/events/{eventId}", &HistoryApi::event_anywhere);
  on_room("/_matrix/client/v1/rooms/{roomId}/timestamp_to_event", &HistoryApi::timestamp_to_event);
  on_room("/_matrix/client/unstable/org.matrix.msc3030/rooms/{roomId}/timestamp_to_event",
          &HistoryApi::timestamp_to_event);
  on_two(room + "/context/{eventId}", &HistoryApi::context);
  on_two(room + "/event/{eventId}", &HistoryApi::event);
  router.on<S, S, S>(Method::Get, room + "/state/{eventType}/{stateKey}",
                     [this](net::Request& req, S r, S type, S key) {
                       return state_event(req, std::move(r), std::move(type), std::move(key));
                     });
  for (const auto* end : {"/state/{eventType}", "/state/{eventType}/"}) {
    router.on<S, S>(Method::Get, room + end, [this](net::Request& req, S r, S type) {
      return state_event(req, std::move(r), std::move(type), {});
    });
  }
}

Task<Result<SessionPtr>> HistoryApi::session(net::Request& req) {
  if (auto session = gate_.at_hand(req)) co_return session;
  co_return co_await gate_.require(req, Guests::Allowed);
}

Task<Result<std::vector<EventPtr>>> HistoryApi::senders(RoomPtr room, std::vector<EventPtr> events) {
  Position upto = 0;
  TextSet names;
  for (const auto& e : events) {
    upto = std::max(upto, e->pos);
    names.insert(e->sender);
  }
  std::vector<EventPtr> out;
  for (const auto& name : names) {
    CO_TRY(auto member, co_await rooms_.state_event_at(room, "m.room.member", name, upto));
    if (member) out.push_back(std::move(member));
  }
  co_return out;
}

void HistoryApi::append_state(std::string& out, const Room& room, const std::vector<EventPtr>& events) const {
  std::size_t bytes = 0;
  for (const auto& e : events) bytes += e->client.size() + e->prev_content.size() + 160;
  out.reserve(out.size() + bytes);
  const ClientView view{.with_room_id = true, .room_id = room.id, .now = clock_.wall_ms()};
  for (std::size_t i = 0; i < events.size(); ++i) {
    if (i > 0) out += ',';
    append_client_event(out, *events[i], view);
  }
}

}  // namespace haechi::messenger
