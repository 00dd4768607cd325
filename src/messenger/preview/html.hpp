#pragma once
// What a web page says about itself, as the OpenGraph members of a URL preview.
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediapreview_url
//
// Pure: fetches nothing. The page is hostile: its size and every member of the
// answer are bounded, and the time is linear. A page of the full size takes some
// ten milliseconds, so it belongs into the blocking pool; any thread may call it.

#include <cstddef>
#include <string_view>

#include "base/json.hpp"

namespace haechi::messenger::preview {

inline constexpr std::size_t kHtmlBytesMax = std::size_t{1024} * 1024;  ///< what comes after is not read
inline constexpr std::size_t kTextCharsMax = 1000;                      ///< code points of a title, a description, ...
inline constexpr std::size_t kSummaryCharsMax = 500;                    ///< a description made from the page's text
inline constexpr std::size_t kPropertiesMax = 50;                       ///< OpenGraph members of one page
inline constexpr std::size_t kPropertyNameBytesMax = 64;

struct Page {
  std::string_view bytes;         ///< the body as it was fetched
  std::string_view url;           ///< absolute, after redirects
  std::string_view content_type;  ///< the header, for its charset; may be empty
};

/// `og:title`, `og:description`, `og:image` (absolute http or https), and the page's
/// other `og:` members. What the page does not say is taken from its Twitter card,
/// its <title>, its meta description, its icon or its first text; what cannot be
/// found is left out. Never throws: a page that cannot be read gives an empty object.
/// `og:image` is where the image is on the web: the caller fetches it and puts the
/// mxc URI, the size and the type in.
json::object open_graph(const Page& page) noexcept;

}  // namespace haechi::messenger::preview
