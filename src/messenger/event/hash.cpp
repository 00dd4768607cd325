#include "messenger/event/hash.hpp"

#include "base/text.hpp"
#include "messenger/event/canonical.hpp"
#include "messenger/event/redact.hpp"

namespace haechi::messenger {

Result<Sha256> content_hash(const json::object& event) {
  std::string text;
  TRY_DO(append_canonical_without(text, event, {"unsigned", "signatures", "hashes"}));
  return sha256(text);
}

Result<Sha256> reference_hash(const json::object& event, const RoomVersion& version) {
  std::string text;
  // event_id is the copy that servers and clients pass around, never part of the event.
  TRY_DO(append_canonical_without(text, redact(event, version), {"unsigned", "signatures", "event_id"}));
  return sha256(text);
}

Result<std::string> event_id_of(const json::object& event, const RoomVersion& version) {
  TRY(const auto hash, reference_hash(event, version));
  return event_id_from(hash);
}

std::string event_id_from(const Sha256& reference) { return "$" + base64url_encode(reference); }

std::string room_id_from_create(std::string_view create_event_id) {
  return "!" + std::string(create_event_id.substr(create_event_id.empty() ? 0 : 1));
}

std::string create_id_from_room(std::string_view room_id) {
  return "$" + std::string(room_id.substr(room_id.empty() ? 0 : 1));
}

}  // namespace haechi::messenger
