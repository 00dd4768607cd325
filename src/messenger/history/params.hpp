#pragma once
// Query parameters that the reading endpoints share.

#include <optional>

#include "messenger/room/rooms.hpp"
#include "messenger/sync/filter.hpp"
#include "net/http.hpp"

namespace haechi::messenger {

/// `dir`: "b" or "f". Errc::MissingParam without one and without a fallback.
Result<Direction> direction_param(const net::Request& req, std::optional<Direction> fallback = std::nullopt);
/// `limit`, cut to `max`; Errc::InvalidParam for what is no number or negative.
Result<std::size_t> limit_param(const net::Request& req, std::size_t fallback, std::size_t max);
/// A page or sync token; nothing when absent or empty.
Result<std::optional<Position>> token_param(const net::Request& req, std::string_view name);
/// `filter`: a RoomEventFilter as JSON.
Result<RoomEventFilter> filter_param(const net::Request& req);

}  // namespace haechi::messenger
