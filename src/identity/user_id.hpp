#pragma once
// The grammar of user ids: https://spec.matrix.org/v1.19/appendices/#user-identifiers

#include <optional>
#include <string>
#include <string_view>

#include "identity/error.hpp"

namespace haechi::identity {

inline constexpr std::size_t kUserIdBytesMax = 255;

/// The localpart that a new account gets: capitals folded, [a-z0-9._=/+-], not
/// empty, short enough, not digits only (those are the guests').
Result<std::string> normalise_new_localpart(std::string_view wanted, std::string_view server_name);

/// "@localpart:server".
std::string make_user_id(std::string_view localpart, std::string_view server_name);

/// What people type at a log-in, a localpart or a full id; nothing when it names
/// another server. Not folded: old accounts may hold capitals.
std::optional<std::string> resolve_login_name(std::string_view typed, std::string_view server_name);

/// 1 to 255 bytes of valid UTF-8 without control characters.
bool is_valid_device_id(std::string_view id);

}  // namespace haechi::identity
