// GET /messages, /context and the old /initialSync of one room.

#include <algorithm>

#include <fmt/format.h>

#include "messenger/errc.hpp"
#include "messenger/history/api.hpp"
#include "messenger/history/params.hpp"
#include "messenger/sync/token.hpp"

namespace haechi::messenger {
namespace {

constexpr std::size_t kLimitDefault = 10;
constexpr std::size_t kLimitMax = 1000;

void append_token(std::string& out, std::string_view name, Position before) {
  fmt::format_to(std::back_inserter(out), ",\"{}\":\"{}\"", name, page_token(before));
}

}  // namespace

HistoryApi::Answer HistoryApi::messages(net::Request& req, std::string room_id) {
  CO_TRY(const auto session, co_await this->session(req));
  // Who may not read is told that first, whatever else is wrong with the request.
  CO_TRY(auto reader, co_await access_.enter(std::move(room_id), session->user_id));
  CO_TRY(const auto dir, direction_param(req));
  CO_TRY(const auto from, token_param(req, "from"));
  CO_TRY(const auto to, token_param(req, "to"));
  CO_TRY(const auto filter, filter_param(req));
  CO_TRY(auto limit, limit_param(req, kLimitDefault, kLimitMax));
  if (filter.limit) limit = std::min(limit, *filter.limit);

  const bool back = dir == Direction::Backward;
  const Position newest = std::min(reader.room->last_pos(), reader.upto);
  const Position start = from.value_or(back ? newest + 1 : 0);
  CO_TRY(const auto page, co_await pages_.page(reader, start, to.value_or(back ? 0 : INT64_MAX), limit, dir, filter));

  std::string body = "{\"chunk\":[";
  CO_TRY_DO(co_await pages_.append(body, reader, page.events, device_key(*session), clock_.wall_ms()));
  body += "],\"start\":";
  // The client's own token comes back as it was: clients compare them.
  append_json_string(body, from ? *req.param("from") : page_token(start));
  // A filtered page does not show that it reached the room's beginning: clients rely on a token then.
  const bool filtered = !page.events.empty() && !filter.everything() && page.events.back()->type != "m.room.create";
  if (page.more || filtered) append_token(body, "end", page.next);
  if (filter.lazy_load_members) {
    CO_TRY(const auto members, co_await senders(reader.room, page.events));
    body += ",\"state\":[";
    append_state(body, *reader.room, members);
    body += ']';
  }
  body += '}';
  co_return reply_text(std::move(body));
}

HistoryApi::Answer HistoryApi::context(net::Request& req, std::string room_id, std::string event_id) {
  CO_TRY(const auto session, co_await this->session(req));
  CO_TRY(const auto filter, filter_param(req));
  CO_TRY(auto limit, limit_param(req, kLimitDefault, kLimitMax));
  if (filter.limit) limit = std::min(limit, *filter.limit);
  CO_TRY(auto reader, co_await access_.enter(std::move(room_id), session->user_id));
  CO_TRY(const auto event, co_await access_.event(reader, std::move(event_id)));

  const std::size_t before = limit / 2;
  CO_TRY(auto earlier, co_await pages_.page(reader, event->pos, 0, before, Direction::Backward, filter));
  CO_TRY(auto later,
         co_await pages_.page(reader, event->pos + 1, INT64_MAX, limit - before, Direction::Forward, filter));

  const auto device = device_key(*session);
  const auto now = clock_.wall_ms();
  const std::vector<EventPtr> one{event};
  std::string body = "{\"event\":";
  CO_TRY_DO(co_await pages_.append(body, reader, one, device, now));
  body += ",\"events_before\":[";
  CO_TRY_DO(co_await pages_.append(body, reader, earlier.events, device, now));
  body += "],\"events_after\":[";
  CO_TRY_DO(co_await pages_.append(body, reader, later.events, device, now));
  body += ']';
  append_token(body, "start", earlier.next);
  append_token(body, "end", later.next);

  const Position last = later.events.empty() ? event->pos : later.events.back()->pos;
  CO_TRY(auto state, co_await rooms_.state_at(reader.room, std::min(last, reader.upto)));
  if (filter.lazy_load_members) {
    TextSet senders{event->sender};
    for (const auto* events : {&earlier.events, &later.events}) {
      for (const auto& e : *events) senders.insert(e->sender);
    }
    std::erase_if(state,
                  [&](const EventPtr& e) { return e->type == "m.room.member" && !senders.contains(*e->state_key); });
  }
  if (!filter.everything()) std::erase_if(state, [&](const EventPtr& e) { return !filter.matches(*e); });
  body += ",\"state\":[";
  append_state(body, *reader.room, state);
  body += "]}";
  co_return reply_text(std::move(body));
}

HistoryApi::Answer HistoryApi::initial_sync(net::Request& req, std::string room_id) {
  CO_TRY(const auto session, co_await this->session(req));
  CO_TRY(const auto limit, limit_param(req, kLimitDefault, kLimitMax));
  CO_TRY(auto reader, co_await access_.enter(std::move(room_id), session->user_id));
  const auto membership = reader.room->membership(session->user_id);
  const Position newest = std::min(reader.room->last_pos(), reader.upto);
  CO_TRY(auto page, co_await pages_.page(reader, newest + 1, 0, limit, Direction::Backward, {}));
  std::ranges::reverse(page.events);
  CO_TRY(const auto state, co_await rooms_.state_at(reader.room, newest));

  std::string body = "{\"room_id\":";
  append_json_string(body, reader.room->id);
  body += ",\"membership\":";
  append_json_string(body, membership == Membership::None ? "leave" : membership_text(membership));
  body += ",\"messages\":{\"chunk\":[";
  CO_TRY_DO(co_await pages_.append(body, reader, page.events, device_key(*session), clock_.wall_ms()));
  body += ']';
  append_token(body, "start", page.next);
  append_token(body, "end", newest + 1);
  body += "},\"state\":[";
  append_state(body, *reader.room, state);
  body += "],\"presence\":[],\"receipts\":[],\"account_data\":[]}";
  co_return reply_text(std::move(body));
}

}  // namespace haechi::messenger
