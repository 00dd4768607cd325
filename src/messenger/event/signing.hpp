#pragma once
// Signed JSON (ed25519). Signing costs 20 us: events are signed only when they
// leave for another server. https://spec.matrix.org/latest/appendices/#signing-json

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/json.hpp"
#include "messenger/event/room_version.hpp"

namespace haechi::messenger {

using SigningSeed = std::array<std::uint8_t, 32>;
using VerifyKey = std::array<std::uint8_t, 32>;

VerifyKey verify_key_of(const SigningSeed& seed);

/// Adds signatures[entity][key_id] over everything but signatures and unsigned.
/// `key_id` with its algorithm: "ed25519:1".
Result<> sign_json(json::object& object, std::string_view entity, std::string_view key_id, const SigningSeed& seed);
/// Errc::Invalid when the signature is absent or wrong.
Result<> verify_json(const json::object& object, std::string_view entity, std::string_view key_id,
                     std::span<const std::uint8_t> key);
/// Signs the redacted form, so that the signature outlives redaction. `event` must have its hashes.
Result<> sign_event(json::object& event, const RoomVersion& version, std::string_view server, std::string_view key_id,
                    const SigningSeed& seed);

}  // namespace haechi::messenger
