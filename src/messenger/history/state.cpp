// GET /state, /members and /joined_members. Who has left reads the state as it
// was when they left.

#include <algorithm>

#include "base/text.hpp"
#include "messenger/errc.hpp"
#include "messenger/history/api.hpp"
#include "messenger/history/params.hpp"

namespace haechi::messenger {
namespace {

Result<std::optional<Membership>> membership_param(const net::Request& req, std::string_view name) {
  const auto text = req.param(name);
  if (!text) return std::nullopt;
  const auto m = membership_of(*text);
  if (m == Membership::None) return fail(Errc::InvalidParam, std::string(name) + " is not a membership");
  return m;
}

void append_text_or_null(std::string& out, const std::optional<std::string_view>& text) {
  if (text) append_json_string(out, *text);
  else out += "null";
}

}  // namespace

HistoryApi::Answer HistoryApi::state(net::Request& req, std::string room_id) {
  CO_TRY(const auto session, co_await this->session(req));
  CO_TRY(const auto reader, co_await access_.enter(std::move(room_id), session->user_id));
  CO_TRY(const auto state, co_await rooms_.state_at(reader.room, reader.upto));
  std::string body = "[";
  append_state(body, *reader.room, state);
  body += ']';
  co_return reply_text(std::move(body));
}

HistoryApi::Answer HistoryApi::state_event(net::Request& req, std::string room_id, std::string type, std::string key) {
  CO_TRY(const auto session, co_await this->session(req));
  const auto format = req.param("format").value_or("content");
  if (format != "content" && format != "event") co_return fail(Errc::InvalidParam, "format is content or event");
  CO_TRY(const auto reader, co_await access_.enter(std::move(room_id), session->user_id));
  CO_TRY(const auto event, co_await rooms_.state_event_at(reader.room, std::move(type), std::move(key), reader.upto));
  if (!event) co_return fail(Errc::NotFound, "No such state in this room");
  if (format == "content") co_return reply_text(std::string(event->content()));
  std::string body;
  const std::vector<EventPtr> one{event};
  append_state(body, *reader.room, one);
  co_return reply_text(std::move(body));
}

HistoryApi::Answer HistoryApi::members(net::Request& req, std::string room_id) {
  CO_TRY(const auto session, co_await this->session(req));
  CO_TRY(const auto at, token_param(req, "at"));
  CO_TRY(const auto only, membership_param(req, "membership"));
  CO_TRY(const auto without, membership_param(req, "not_membership"));
  CO_TRY(const auto reader, co_await access_.enter(std::move(room_id), session->user_id));
  // A token from the very beginning, as a short timeline has it, means the room with its creator.
  const auto* create = reader.room->state("m.room.create");
  const Position first = create ? create->pos + 1 : 0;
  const Position upto = at ? std::min(std::max(*at - 1, first), reader.upto) : reader.upto;
  std::vector<EventPtr> members;
  if (upto >= reader.room->last_state_pos()) {
    for (const auto& [user, e] : reader.room->members()) members.push_back(e);
  } else {
    CO_TRY(members, co_await rooms_.state_at(reader.room, upto));
  }
  std::erase_if(members, [&](const EventPtr& e) {
    if (e->type != "m.room.member") return true;
    const auto m = membership_of(e->membership());
    // Both together are an "or", says the specification.
    if (only && without) return m != *only && m == *without;
    return (only && m != *only) || (without && m == *without);
  });
  std::string body = "{\"chunk\":[";
  append_state(body, *reader.room, members);
  body += "]}";
  co_return reply_text(std::move(body));
}

HistoryApi::Answer HistoryApi::joined_members(net::Request& req, std::string room_id) {
  CO_TRY(const auto session, co_await this->session(req));
  CO_TRY(const auto reader, co_await access_.enter(std::move(room_id), session->user_id));
  // Who is there now is not for those who have left.
  if (reader.upto != INT64_MAX) co_return fail(Errc::Forbidden, "You are not in this room");
  std::string body = "{\"joined\":{";
  body.reserve(reader.room->joined_count() * 120 + 32);
  bool first = true;
  for (const auto& [user, e] : reader.room->members()) {
    if (e->membership() != "join") continue;
    if (!std::exchange(first, false)) body += ',';
    append_json_string(body, user);
    body += ":{\"display_name\":";
    append_text_or_null(body, get_string(e->object(), "displayname"));
    body += ",\"avatar_url\":";
    append_text_or_null(body, get_string(e->object(), "avatar_url"));
    body += '}';
  }
  body += "}}";
  co_return reply_text(std::move(body));
}

}  // namespace haechi::messenger
