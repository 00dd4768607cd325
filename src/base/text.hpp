#pragma once
// Small pure text work that several floors need.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace haechi {

/// Appends `text` as a JSON string with quotes, escaped as canonical JSON does:
/// only what must be escaped is. Bytes that are not UTF-8 are passed through.
void append_json_string(std::string& out, std::string_view text);

/// Base64 without padding, as Matrix writes hashes and keys ("unpadded base64").
std::string base64_encode(std::span<const std::uint8_t> bytes);
/// The URL-safe alphabet, without padding (event ids of room version 4 and later).
std::string base64url_encode(std::span<const std::uint8_t> bytes);
/// Accepts both alphabets, with or without padding.
std::optional<std::vector<std::uint8_t>> base64_decode(std::string_view text);

/// Percent-encodes everything outside RFC 3986's unreserved characters.
std::string percent_encode(std::string_view text);
/// Decodes %XX; nothing on a broken escape. `plus_is_space` for query strings.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space = false);

bool is_valid_utf8(std::string_view text);
/// Counts code points; `text` must be valid UTF-8.
std::size_t utf8_length(std::string_view text);

/// Decimal integer over the whole of `text`, or nothing.
std::optional<std::int64_t> parse_int(std::string_view text);

std::vector<std::string_view> split(std::string_view text, char separator);
std::string_view trim(std::string_view text);
std::string to_lower_ascii(std::string_view text);
bool iequals_ascii(std::string_view a, std::string_view b);
std::string hex_encode(std::span<const std::uint8_t> bytes);

/// "2026-01-31T12:00:00.123Z", for logs only.
std::string utc_now_text();

/// Matches `*` and `?` globs over the whole text, ASCII letters folded.
/// Linear in text times stars: input from outside is safe.
bool glob_match(std::string_view pattern, std::string_view text);

/// Lets unordered containers look strings up by string_view.
struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view s) const noexcept { return std::hash<std::string_view>{}(s); }
};

}  // namespace haechi
