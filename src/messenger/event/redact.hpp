#pragma once
// The redaction algorithm: what of an event survives redaction, and therefore
// goes into its reference hash. https://spec.matrix.org/latest/rooms/v11/#redactions

#include <string_view>

#include "base/json.hpp"
#include "messenger/event/room_version.hpp"

namespace haechi::messenger {

/// Whether redaction keeps anything of this type's content. False for messages:
/// their redacted content is `{}` whatever it was.
bool redaction_keeps_content(std::string_view type, const RoomVersion& version) noexcept;

json::object redact_content(std::string_view type, const json::object& content, const RoomVersion& version);

/// A redacted copy. `unsigned` is dropped: the caller adds redacted_because.
json::object redact(const json::object& event, const RoomVersion& version);

/// The event id that an m.room.redaction points at, wherever this version keeps it; empty if none.
std::string_view redacts_of(const json::object& event, const RoomVersion& version);

}  // namespace haechi::messenger
