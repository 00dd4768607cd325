#include "messenger/history/params.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "messenger/errc.hpp"
#include "messenger/sync/token.hpp"

namespace haechi::messenger {

Result<Direction> direction_param(const net::Request& req, std::optional<Direction> fallback) {
  const auto text = req.param("dir");
  if (!text) {
    if (fallback) return *fallback;
    return fail(Errc::MissingParam, "Missing: dir");
  }
  if (*text == "b") return Direction::Backward;
  if (*text == "f") return Direction::Forward;
  return fail(Errc::InvalidParam, "dir is b or f");
}

Result<std::size_t> limit_param(const net::Request& req, std::size_t fallback, std::size_t max) {
  const auto text = req.param("limit");
  if (!text) return fallback;
  const auto limit = parse_int(*text);
  if (!limit || *limit < 0) return fail(Errc::InvalidParam, "limit must be a number, not negative");
  return std::min(static_cast<std::size_t>(*limit), max);
}

Result<std::optional<Position>> token_param(const net::Request& req, std::string_view name) {
  const auto text = req.param(name);
  if (!text || text->empty()) return std::nullopt;
  const auto pos = parse_page_token(*text);
  if (!pos) return fail(Errc::InvalidParam, std::string(name) + " is not a token of this server");
  return pos;
}

Result<RoomEventFilter> filter_param(const net::Request& req) {
  const auto text = req.param("filter");
  if (!text || text->empty()) return RoomEventFilter{};
  auto value = parse_json(*text);
  if (!value) return fail(Errc::NotJson, "filter is " + value.error().message);
  if (!value->is_object()) return fail(Errc::BadJson, "filter must be a JSON object");
  return parse_room_event_filter(value->get_object());
}

}  // namespace haechi::messenger
