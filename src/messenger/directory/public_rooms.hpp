#pragma once
// The list of published rooms: what is shown of each, searching and paging. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "messenger/room/room.hpp"

namespace haechi::messenger {

struct PublicRoom {
  std::int64_t num = 0;
  std::string room_id;
  std::string name, topic, avatar_url, canonical_alias, join_rule, room_type;
  std::size_t joined = 0;
  bool world_readable = false;
  bool guest_can_join = false;
};

PublicRoom public_room_of(const Room& room);
json::object to_json(const PublicRoom& room);

struct PublicRoomsQuery {
  std::string term;                                    ///< empty: everything
  std::optional<std::vector<std::string>> room_types;  ///< "" is a room without a type
  std::optional<std::size_t> limit;
  std::string since;  ///< opaque
};
/// From the body of POST /publicRooms, or Errc::BadJson, InvalidParam.
Result<PublicRoomsQuery> public_rooms_query(const json::object& body);

bool matches(const PublicRoom& room, const PublicRoomsQuery& query);

/// {"chunk", "next_batch", "prev_batch", "total_room_count_estimate"}; most members first.
/// Errc::InvalidParam for a token of somebody else.
Result<json::object> page_of(std::vector<const PublicRoom*> rooms, const PublicRoomsQuery& query);

}  // namespace haechi::messenger
