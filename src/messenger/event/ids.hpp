#pragma once
// The grammar of Matrix identifiers. Results are views into the text given.
// https://spec.matrix.org/latest/appendices/#identifier-grammar

#include <optional>
#include <string_view>

namespace haechi::messenger {

/// Every identifier, with its sigil and server name, in bytes of UTF-8.
inline constexpr std::size_t kIdBytesMax = 255;

enum class Localpart {
  Historical,  ///< what old servers have let in; tolerated in everything that is read
  Strict,      ///< a-z 0-9 . _ = - / +, for accounts made here
};

struct UserId {
  std::string_view localpart;
  std::string_view server;
};
struct RoomId {
  std::string_view opaque;
  std::string_view server;  ///< empty from room version 12 on
};
struct RoomAlias {
  std::string_view localpart;
  std::string_view server;
};
struct MxcUri {
  std::string_view server;
  std::string_view media_id;
};

/// DNS name, IPv4 or bracketed IPv6 address, with an optional port.
bool is_server_name(std::string_view text) noexcept;
/// "@localpart:server"
std::optional<UserId> parse_user_id(std::string_view text, Localpart form = Localpart::Historical) noexcept;
/// Characters of a localpart that a new account may have; not empty.
bool is_strict_localpart(std::string_view text) noexcept;
/// "!opaque:server", or "!hash" as room version 12 writes it.
std::optional<RoomId> parse_room_id(std::string_view text) noexcept;
/// "#localpart:server"
std::optional<RoomAlias> parse_room_alias(std::string_view text) noexcept;
/// "mxc://server/media"
std::optional<MxcUri> parse_mxc(std::string_view text) noexcept;
/// "$..." of any room version.
bool is_event_id(std::string_view text) noexcept;
/// "$" and the 43 URL-safe base64 characters of a SHA-256 (room version 4 and later).
bool is_hash_event_id(std::string_view text) noexcept;

/// What follows the first colon; empty when there is none. For ids known to be valid.
inline std::string_view server_of(std::string_view id) noexcept {
  const auto colon = id.find(':');
  return colon == std::string_view::npos ? std::string_view{} : id.substr(colon + 1);
}

}  // namespace haechi::messenger
