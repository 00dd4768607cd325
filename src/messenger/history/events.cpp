// GET /event, /events/{eventId} and /timestamp_to_event.

#include <fmt/format.h>

#include "base/text.hpp"
#include "messenger/errc.hpp"
#include "messenger/history/api.hpp"
#include "messenger/history/params.hpp"

namespace haechi::messenger {

HistoryApi::Answer HistoryApi::event(net::Request& req, std::string room_id, std::string event_id) {
  CO_TRY(const auto session, co_await this->session(req));
  // No need to be a member: what one may see is decided by the event alone.
  CO_TRY(auto reader, co_await access_.look(std::move(room_id), session->user_id));
  CO_TRY(const auto event, co_await access_.event(reader, std::move(event_id)));
  const std::vector<EventPtr> one{event};
  std::string body;
  CO_TRY_DO(co_await pages_.append(body, reader, one, device_key(*session), clock_.wall_ms()));
  co_return reply_text(std::move(body));
}

HistoryApi::Answer HistoryApi::event_anywhere(net::Request& req, std::string event_id) {
  CO_TRY(const auto session, co_await this->session(req));
  CO_TRY(const auto found, co_await rooms_.event_anywhere(event_id));
  CO_TRY(auto reader, co_await access_.look(found.first->id, session->user_id));
  CO_TRY(const auto event, co_await access_.event(reader, std::move(event_id)));
  const std::vector<EventPtr> one{event};
  std::string body;
  CO_TRY_DO(co_await pages_.append(body, reader, one, device_key(*session), clock_.wall_ms()));
  co_return reply_text(std::move(body));
}

HistoryApi::Answer HistoryApi::timestamp_to_event(net::Request& req, std::string room_id) {
  CO_TRY(const auto session, co_await this->session(req));
  CO_TRY(const auto dir, direction_param(req));
  const auto text = req.param("ts");
  if (!text) co_return fail(Errc::MissingParam, "Missing: ts");
  const auto ts = parse_int(*text);
  if (!ts || *ts < 0) co_return fail(Errc::InvalidParam, "ts must be a number of milliseconds");
  CO_TRY(auto reader, co_await access_.enter(std::move(room_id), session->user_id));

  // Time runs with the positions (this server stamps both), so the border between
  // "before ts" and "not before" is found by halving: the first position of it is `high`.
  const bool back = dir == Direction::Backward;
  Position low = 0;
  Position high = std::min(reader.room->last_pos(), reader.upto) + 1;
  const Position end = high;
  while (low < high) {
    const Position middle = low + (high - low) / 2;
    CO_TRY(const auto one, co_await rooms_.range(reader.room, middle, high, 1, Direction::Forward));
    const bool reached = one.empty() || (back ? one.front()->ts > *ts : one.front()->ts >= *ts);
    if (reached) high = middle;
    else low = one.front()->pos + 1;
  }
  CO_TRY(const auto page, back ? co_await pages_.page(reader, high, 0, 1, dir, {})
                               : co_await pages_.page(reader, high, end, 1, dir, {}));
  if (page.events.empty()) co_return fail(Errc::NotFound, "No event near that time");
  const Event& e = *page.events.front();
  std::string body = "{\"event_id\":";
  append_json_string(body, e.event_id);
  fmt::format_to(std::back_inserter(body), ",\"origin_server_ts\":{}}}", e.ts);
  co_return reply_text(std::move(body));
}

}  // namespace haechi::messenger
