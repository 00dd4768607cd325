#pragma once
// What differs between the room versions that Haechi speaks, in one table.
// Everything older (string power levels, other event ids) is not supported.

#include <span>
#include <string_view>

namespace haechi::messenger {

struct RoomVersion {
  std::string_view id;
  /// v11: `redacts` stands in the content of m.room.redaction, not beside it.
  bool redacts_in_content;
  /// v11: redaction keeps all of m.room.create, `invite` of the power levels,
  /// the signed part of third-party invites; drops origin, membership, prev_state.
  bool redaction_keeps_more;
  /// v11: the creator is the sender of m.room.create; before, `content.creator`.
  bool creator_is_sender;
  /// v12: the room id is "!" and the hash of the create event, which therefore
  /// has no room_id itself and is implied in every auth_events.
  bool room_id_is_hash;
  /// v12: sender and content.additional_creators have infinite power and may
  /// not stand in m.room.power_levels.
  bool creators_are_infinite;
  /// The level for m.room.tombstone in the power levels that createRoom writes.
  /// The authorization rules themselves know no such default.
  int preset_tombstone_level;
};

// All of them have integer power levels, knocking, restricted and knock_restricted joins.
inline constexpr RoomVersion kRoomVersion10{"10", false, false, false, false, false, 100};
inline constexpr RoomVersion kRoomVersion11{"11", true, true, true, false, false, 100};
inline constexpr RoomVersion kRoomVersion12{"12", true, true, true, true, true, 150};

/// Oldest first.
std::span<const RoomVersion* const> room_versions() noexcept;
/// Null for a version that Haechi does not support.
const RoomVersion* find_room_version(std::string_view id) noexcept;

}  // namespace haechi::messenger
