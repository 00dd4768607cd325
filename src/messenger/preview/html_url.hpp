#pragma once
// Links in web pages.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace haechi::messenger::preview {

inline constexpr std::size_t kUrlBytesMax = 2048;

/// `reference` as it stands in a page at `base`, made absolute (RFC 3986, section 5.2),
/// without its fragment and with what URLs cannot hold percent-encoded. Nothing for
/// schemes other than http and https, for user names in it, and beyond kUrlBytesMax.
std::optional<std::string> resolve_url(std::string_view base, std::string_view reference);

}  // namespace haechi::messenger::preview
