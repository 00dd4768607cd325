#include "messenger/preview/html_url.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace haechi::messenger::preview {
namespace {

struct Parts {
  std::string_view scheme;
  std::string_view authority;
  std::string_view path;
  std::string_view query;  ///< with its '?'
};

constexpr bool is_scheme_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
}

/// "scheme:" at the start, without the colon; empty when there is none.
std::string_view scheme_of(std::string_view url) {
  std::size_t end = 0;
  while (end < url.size() && is_scheme_char(url[end])) ++end;
  return end > 0 && end < url.size() && url[end] == ':' ? url.substr(0, end) : std::string_view();
}

void split_path(std::string_view rest, Parts& out) {
  const std::size_t query = rest.find('?');
  out.path = rest.substr(0, query);
  out.query = query == std::string_view::npos ? std::string_view() : rest.substr(query);
}

/// What follows "//".
bool split_authority(std::string_view rest, Parts& out) {
  const std::size_t end = std::min(rest.find_first_of("/?"), rest.size());
  out.authority = rest.substr(0, end);
  split_path(rest.substr(end), out);
  const auto bad = [](char c) {
    return static_cast<unsigned char>(c) <= 0x20 || std::string_view("\"<>\\^`{|}@%\x7f").contains(c);
  };
  return !out.authority.empty() && std::ranges::none_of(out.authority, bad);
}

std::optional<Parts> split_absolute(std::string_view url) {
  Parts out;
  out.scheme = scheme_of(url);
  if (iequals_ascii(out.scheme, "http")) {
    out.scheme = "http";
    url.remove_prefix(5);
  } else if (iequals_ascii(out.scheme, "https")) {
    out.scheme = "https";
    url.remove_prefix(6);
  } else {
    return {};
  }
  if (!url.starts_with("//") || !split_authority(url.substr(2), out)) return {};
  return out;
}

/// RFC 3986, section 5.2.4, for a path that starts with a slash.
std::string without_dots(std::string_view path) {
  std::string out;
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string_view segment = path.substr(0, end);
    path.remove_prefix(end);
    if (segment == "." || segment == "..") {
      if (segment == ".." && !out.empty()) out.erase(out.rfind('/'));
      if (path.empty()) out += '/';
    } else {
      out += '/';
      out += segment;
    }
  }
  return out.empty() ? "/" : out;
}

void append_encoded(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7F || std::string_view("\"<>\\^`{|}").contains(c)) {
      out += '%';
      out += kHex[byte >> 4U];
      out += kHex[byte & 15U];
    } else {
      out += c;
    }
  }
}

}  // namespace

std::optional<std::string> resolve_url(std::string_view base, std::string_view reference) {
  if (base.size() > kUrlBytesMax || reference.size() > kUrlBytesMax) return {};
  base = base.substr(0, base.find('#'));
  // Browsers take line breaks and tabs out of links.
  std::string cleaned(trim(reference));
  std::erase_if(cleaned, [](char c) { return c == '\t' || c == '\r' || c == '\n'; });
  const std::string_view ref = std::string_view(cleaned).substr(0, cleaned.find('#'));
  if (ref.empty()) return {};

  std::string merged;
  std::optional<Parts> target;
  if (!scheme_of(ref).empty()) {
    target = split_absolute(ref);
  } else {
    target = split_absolute(base);
    if (!target) return {};
    if (ref.starts_with("//")) {
      if (!split_authority(ref.substr(2), *target)) return {};
    } else if (ref.starts_with('?')) {
      target->query = ref;
    } else if (ref.starts_with('/')) {
      split_path(ref, *target);
    } else {
      const std::string_view base_path = target->path;
      split_path(ref, *target);
      // npos + 1 is 0: a base without a path lends nothing but the slash.
      merged = std::string(base_path.substr(0, base_path.rfind('/') + 1));
      if (merged.empty()) merged = "/";
      merged += target->path;
      target->path = merged;
    }
  }
  if (!target) return {};
  std::string out = std::string(target->scheme) + "://";
  out += target->authority;
  append_encoded(out, target->path.empty() ? "/" : without_dots(target->path));
  append_encoded(out, target->query);
  if (out.size() > kUrlBytesMax) return {};
  return out;
}

}  // namespace haechi::messenger::preview
