#pragma once
// Events made here: canonical text, hashes and id written in one go, without a
// DOM of the event. This is the hot path of every send.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/json.hpp"
#include "messenger/event/room_version.hpp"

namespace haechi::messenger {

/// With signatures, as canonical JSON.
inline constexpr std::size_t kEventBytesMax = 65'536;
/// Kept free for the signature that is added when an event leaves this server.
inline constexpr std::size_t kSignatureBytesMax = 512;
/// sender, room_id, type, state_key, in bytes.
inline constexpr std::size_t kEventFieldBytesMax = 255;

/// Views only: everything must outlive the call of build_event.
struct EventDraft {
  std::string_view room_id;  ///< empty for the create event of room version 12, which has none
  std::string_view sender;
  std::string_view type;
  std::optional<std::string_view> state_key;
  std::string_view content_text;  ///< canonical, from append_canonical
  /// The same content parsed. May be null when redaction_keeps_content() says no.
  const json::object* content = nullptr;
  std::int64_t origin_server_ts = 0;  ///< milliseconds
  std::span<const std::string_view> prev_events;
  std::span<const std::string_view> auth_events;
  std::int64_t depth = 1;
  std::string_view redacts;  ///< top-level; from room version 11 on it stands in the content
};

struct Built {
  std::string json;  ///< canonical PDU with hashes, without signatures and unsigned
  std::string event_id;
};

/// EventErrc::TooLarge for fields and events over the limits, BadJson for text that is not UTF-8.
Result<Built> build_event(const RoomVersion& version, const EventDraft& draft);

}  // namespace haechi::messenger
