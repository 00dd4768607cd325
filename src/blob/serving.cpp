#include "blob/serving.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"

namespace haechi::blob {
namespace {

// "Serving inline content": https://spec.matrix.org/v1.19/client-server-api/#serving-inline-content
constexpr std::string_view kInline[] = {
    "text/css",   "text/plain",   "text/csv",        "application/json", "application/ld+json", "image/jpeg",
    "image/gif",  "image/png",    "image/apng",      "image/webp",       "image/avif",          "video/mp4",
    "video/webm", "video/ogg",    "video/quicktime", "audio/mp4",        "audio/webm",          "audio/aac",
    "audio/mpeg", "audio/ogg",    "audio/wave",      "audio/wav",        "audio/x-wav",         "audio/x-pn-wav",
    "audio/flac", "audio/x-flac",
};

constexpr std::size_t kNameBytesMax = 255;

bool is_token_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}
bool is_token(std::string_view text) { return !text.empty() && std::ranges::all_of(text, is_token_char); }

bool is_visible_ascii(char c) { return c >= 0x20 && c < 0x7f; }

/// "image/png" of "image/PNG; a=b", or empty when it is not a media type.
std::string essence_of(std::string_view content_type) {
  const auto type = trim(content_type.substr(0, content_type.find(';')));
  const auto slash = type.find('/');
  if (slash == std::string_view::npos || !is_token(type.substr(0, slash)) || !is_token(type.substr(slash + 1)))
    return {};
  return to_lower_ascii(type);
}

/// The last path part without anything that could end the header or mislead.
std::string clean_name(std::string_view name) {
  if (!is_valid_utf8(name)) return {};
  const auto last = name.find_last_of("/\\");
  if (last != std::string_view::npos) name.remove_prefix(last + 1);
  std::string out;
  for (const char c : name) {
    if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) out.push_back(c);
  }
  if (out.size() > kNameBytesMax) {
    std::size_t cut = kNameBytesMax;
    while (cut > 0 && (static_cast<unsigned char>(out[cut]) & 0xc0) == 0x80) --cut;
    out.resize(cut);
  }
  return std::string(trim(out));
}

/// RFC 8187: attr-char stays as it is.
std::string extended_value(std::string_view text) {
  std::string out;
  constexpr char kHex[] = "0123456789ABCDEF";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (is_token_char(c) && c != '*' && c != '\'' && c != '%') {
      out.push_back(c);
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

/// Digits only; saturates instead of overflowing, since a position past any file is enough to know.
std::optional<std::uint64_t> parse_position(std::string_view text) {
  if (text.empty()) return std::nullopt;
  std::uint64_t v = 0;
  constexpr std::uint64_t kMax = ~std::uint64_t{0};
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    const auto digit = static_cast<std::uint64_t>(c - '0');
    v = v > (kMax - digit) / 10 ? kMax : v * 10 + digit;
  }
  return v;
}

}  // namespace

bool may_be_inline(std::string_view content_type) {
  return std::ranges::find(kInline, essence_of(content_type)) != std::end(kInline);
}

ServingHeaders serving_headers(std::string_view content_type, std::string_view name) {
  content_type = trim(content_type);
  const auto essence = essence_of(content_type);
  const bool clean = content_type.size() <= 200 && std::ranges::all_of(content_type, is_visible_ascii);
  if (essence.empty() || !clean) return {"application/octet-stream", content_disposition("attachment", name)};
  return {std::string(content_type), content_disposition(may_be_inline(essence) ? "inline" : "attachment", name)};
}

std::string content_disposition(std::string_view kind, std::string_view name) {
  std::string out(kind);
  const auto cleaned = clean_name(name);
  if (cleaned.empty()) return out;
  const bool ascii = std::ranges::all_of(cleaned, is_visible_ascii);
  if (ascii && is_token(cleaned)) return out + "; filename=" + cleaned;
  if (ascii) {
    out += "; filename=\"";
    for (const char c : cleaned) {
      if (c == '"' || c == '\\') out.push_back('\\');
      out.push_back(c);
    }
    return out + '"';
  }
  return out + "; filename*=utf-8''" + extended_value(cleaned);
}

std::string etag_of(const Sha256& id) { return '"' + hex_encode(std::span(id).first(16)) + '"'; }

bool etag_matches(std::string_view if_none_match, std::string_view etag) {
  for (auto one : split(if_none_match, ',')) {
    one = trim(one);
    if (one == "*") return true;
    if (one.starts_with("W/")) one.remove_prefix(2);
    if (!one.empty() && one == etag) return true;
  }
  return false;
}

bool if_range_holds(std::string_view if_range, std::string_view etag) {
  if_range = trim(if_range);
  return if_range.empty() || if_range == etag;
}

std::string ByteRange::content_range(std::uint64_t size) const {
  return "bytes " + std::to_string(offset) + '-' + std::to_string(offset + length - 1) + '/' + std::to_string(size);
}

std::string unsatisfied_range(std::uint64_t size) { return "bytes */" + std::to_string(size); }

RangeAnswer parse_range(std::string_view header, std::uint64_t size) {
  const RangeAnswer everything{RangeKind::None, {0, size}};
  const auto equals = header.find('=');
  if (equals == std::string_view::npos || !iequals_ascii(trim(header.substr(0, equals)), "bytes")) return everything;
  const auto set = trim(header.substr(equals + 1));
  if (set.find(',') != std::string_view::npos) return everything;
  const auto dash = set.find('-');
  if (dash == std::string_view::npos) return everything;
  const auto first_text = trim(set.substr(0, dash));
  const auto last_text = trim(set.substr(dash + 1));

  if (first_text.empty()) {
    const auto suffix = parse_position(last_text);
    if (!suffix) return everything;
    if (*suffix == 0 || size == 0) return {RangeKind::Unsatisfiable, {}};
    const auto length = std::min(*suffix, size);
    return {RangeKind::Partial, {size - length, length}};
  }
  const auto first = parse_position(first_text);
  if (!first) return everything;
  std::uint64_t last = ~std::uint64_t{0};
  if (!last_text.empty()) {
    const auto parsed = parse_position(last_text);
    if (!parsed || *parsed < *first) return everything;
    last = *parsed;
  }
  if (*first >= size) return {RangeKind::Unsatisfiable, {}};
  return {RangeKind::Partial, {*first, std::min(last, size - 1) - *first + 1}};
}

}  // namespace haechi::blob
