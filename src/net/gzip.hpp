#pragma once
// Private to net/: compressed answers.

#include <string>
#include <string_view>

namespace haechi::net {

/// True when an Accept-Encoding header lets us answer in gzip.
bool accepts_gzip(std::string_view accept_encoding);
/// Text that shrinks; pictures and video do not.
bool worth_compressing(std::string_view content_type);
/// Safe on any thread. Empty when zlib fails.
std::string gzip(std::string_view text);

}  // namespace haechi::net
