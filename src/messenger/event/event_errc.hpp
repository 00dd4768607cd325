#pragma once
#include <system_error>

namespace haechi::messenger {

/// Why an event was refused, as far as a caller reacts differently.
enum class EventErrc {
  Ok = 0,
  Forbidden,  ///< the room's authorization rules say no (M_FORBIDDEN)
  BadJson,    ///< not canonical JSON, or a field of the wrong form (M_BAD_JSON)
  TooLarge,   ///< the event or one of its fields is over the limit (M_TOO_LARGE)
};

const std::error_category& event_category() noexcept;
std::error_code make_error_code(EventErrc code) noexcept;

}  // namespace haechi::messenger

template <>
struct std::is_error_code_enum<haechi::messenger::EventErrc> : std::true_type {};
