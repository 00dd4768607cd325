#pragma once
// What a browser may be told about content that somebody uploaded. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/hash.hpp"

namespace haechi::blob {

/// https://spec.matrix.org/v1.19/client-server-api/#content-repository
inline constexpr std::string_view kContentSecurityPolicy =
    "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; "
    "style-src 'unsafe-inline'; object-src 'self';";
inline constexpr std::string_view kCrossOriginResourcePolicy = "cross-origin";

struct ServingHeaders {
  std::string content_type;
  std::string content_disposition;  ///< inline or attachment, with the file name where there is one
};

/// Whether the specification lets this media type be shown in place. Parameters are ignored.
bool may_be_inline(std::string_view content_type);

/// `content_type` is what the uploader said; anything that is not a well-formed
/// media type becomes application/octet-stream. `name` may be empty.
ServingHeaders serving_headers(std::string_view content_type, std::string_view name);

/// `attachment; filename="a.txt"`, and filename*=utf-8''... for names beyond
/// plain ASCII (RFC 6266, RFC 8187). Control characters and path parts are dropped.
std::string content_disposition(std::string_view kind, std::string_view name);

/// Strong: the content is what it is named after. With quotes.
std::string etag_of(const Sha256& id);
/// If-None-Match (weak comparison, lists and "*").
bool etag_matches(std::string_view if_none_match, std::string_view etag);
/// Whether a Range header counts: If-Range is absent or names this entity tag.
/// A date never does, since none is sent.
bool if_range_holds(std::string_view if_range, std::string_view etag);

struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  /// "bytes 0-99/1000"
  std::string content_range(std::uint64_t size) const;
};

enum class RangeKind {
  None,           ///< answer 200 with everything: no header, another unit, several ranges, or not well formed
  Partial,        ///< answer 206
  Unsatisfiable,  ///< answer 416 with "bytes */size"
};
struct RangeAnswer {
  RangeKind kind = RangeKind::None;
  ByteRange range;  ///< inside [0, size) when Partial; everything when None
};
/// RFC 9110, 14.1.2.
RangeAnswer parse_range(std::string_view header, std::uint64_t size);
std::string unsatisfied_range(std::uint64_t size);

}  // namespace haechi::blob
