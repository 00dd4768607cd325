#pragma once
// Canonical JSON: the one text that all servers hash and sign.
// https://spec.matrix.org/latest/appendices/#canonical-json

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/json.hpp"

namespace haechi::messenger {

/// Integers beyond this are not exact in every client's numbers: 2^53 - 1.
inline constexpr std::int64_t kCanonicalIntMax = (std::int64_t{1} << 53) - 1;

/// Appends the canonical text of `value`. EventErrc::BadJson for fractions,
/// integers out of range and nesting beyond kJsonDepthMax; `out` then ends in a
/// part of the text and is of no use.
Result<> append_canonical(std::string& out, const json::value& value);
Result<> append_canonical(std::string& out, const json::object& value);
/// The same, leaving out these keys of the outermost object.
Result<> append_canonical_without(std::string& out, const json::object& value,
                                  std::initializer_list<std::string_view> keys);
Result<std::string> canonical(const json::object& value);

/// Whether `value` may stand in an event: what append_canonical would refuse, without writing it.
Result<> check_event_json(const json::value& value);
Result<> check_event_json(const json::object& value);

}  // namespace haechi::messenger
