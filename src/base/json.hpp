#pragma once
// Boost.JSON with the house's limits, and getters that read like the
// specification: "content.membership, a string".

#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace haechi {

namespace json = boost::json;

/// Deeper input is refused: no recursion over it may exhaust the stack.
inline constexpr std::size_t kJsonDepthMax = 100;

/// RFC 8259 with UTF-8 checked. Errc::Invalid says where it broke.
Result<json::value> parse_json(std::string_view text, json::storage_ptr storage = {});
/// As above, and the top level must be an object.
Result<json::object> parse_json_object(std::string_view text, json::storage_ptr storage = {});

inline std::string_view sv(const json::string& s) { return {s.data(), s.size()}; }

/// Null when the key is absent.
inline const json::value* get(const json::object& o, std::string_view key) { return o.if_contains(key); }
/// Nothing when absent or of another type.
std::optional<std::string_view> get_string(const json::object& o, std::string_view key);
std::optional<std::int64_t> get_int(const json::object& o, std::string_view key);
std::optional<bool> get_bool(const json::object& o, std::string_view key);
const json::object* get_object(const json::object& o, std::string_view key);
const json::array* get_array(const json::object& o, std::string_view key);
inline bool get_flag(const json::object& o, std::string_view key, bool fallback = false) {
  return get_bool(o, key).value_or(fallback);
}

/// For stored JSON of our own: throws when it does not parse, because that is our bug or a damaged disk.
json::object must_parse_object(std::string_view text);

inline std::string to_text(const json::value& v) { return json::serialize(v); }
inline std::string to_text(const json::object& v) { return json::serialize(v); }
inline std::string to_text(const json::array& v) { return json::serialize(v); }

}  // namespace haechi
