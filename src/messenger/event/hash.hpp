#pragma once
// Content hash, reference hash and event id, from a parsed event. Events made
// here take the faster way of draft.hpp; both give the same.
// https://spec.matrix.org/latest/server-server-api/#calculating-the-content-hash-for-an-event

#include <string>
#include <string_view>

#include "base/hash.hpp"
#include "base/json.hpp"
#include "messenger/event/room_version.hpp"

namespace haechi::messenger {

/// Over everything but unsigned, signatures and hashes.
Result<Sha256> content_hash(const json::object& event);
/// Over the redacted event without unsigned and signatures.
Result<Sha256> reference_hash(const json::object& event, const RoomVersion& version);
/// "$" and the reference hash.
Result<std::string> event_id_of(const json::object& event, const RoomVersion& version);
std::string event_id_from(const Sha256& reference);
/// Room version 12: the room's id from the id of its create event, and back.
std::string room_id_from_create(std::string_view create_event_id);
std::string create_id_from_room(std::string_view room_id);

}  // namespace haechi::messenger
