#pragma once
// Which encoding a web page is written in, and its text as UTF-8.

#include <cstddef>
#include <string>
#include <string_view>

namespace haechi::messenger::preview {

/// The value of `charset` in a Content-Type header; empty when absent.
std::string_view charset_of_content_type(std::string_view content_type);

/// Valid UTF-8, whatever comes in: what cannot be read becomes U+FFFD. Asks the byte
/// order mark, then the header, then <meta> and the XML declaration; a page that
/// says nothing is UTF-8 if it can be, else Windows-1252, as browsers do.
std::string html_to_utf8(std::string_view bytes, std::string_view content_type);

}  // namespace haechi::messenger::preview
