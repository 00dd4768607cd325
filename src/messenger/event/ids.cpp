#include "messenger/event/ids.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace haechi::messenger {
namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }
bool alnum(char c) { return digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool hex(char c) { return digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool base64url(char c) { return alnum(c) || c == '-' || c == '_'; }

template <class F>
bool all(std::string_view text, F f) {
  return std::all_of(text.begin(), text.end(), f);
}

bool is_port(std::string_view text) { return !text.empty() && text.size() <= 5 && all(text, digit); }

struct Halves {
  std::string_view first;
  std::string_view server;
};

// The first colon divides: server names may hold more of them, localparts none.
std::optional<Halves> halves(std::string_view text, char sigil) {
  if (text.size() > kIdBytesMax || text.empty() || text.front() != sigil) return std::nullopt;
  text.remove_prefix(1);
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const Halves h{text.substr(0, colon), text.substr(colon + 1)};
  if (!is_server_name(h.server)) return std::nullopt;
  if (h.first.find('\0') != std::string_view::npos || !is_valid_utf8(h.first)) return std::nullopt;
  return h;
}

}  // namespace

bool is_server_name(std::string_view text) noexcept {
  if (text.empty() || text.size() > kIdBytesMax) return false;
  std::string_view rest;
  if (text.front() == '[') {
    const auto close = text.find(']');
    if (close == std::string_view::npos) return false;
    const auto address = text.substr(1, close - 1);
    if (address.size() < 2 || address.size() > 45) return false;
    if (!all(address, [](char c) { return hex(c) || c == ':' || c == '.'; })) return false;
    rest = text.substr(close + 1);
  } else {
    const auto colon = text.find(':');
    const auto host = text.substr(0, colon);
    if (host.empty() || !all(host, [](char c) { return alnum(c) || c == '-' || c == '.'; })) return false;
    rest = colon == std::string_view::npos ? std::string_view{} : text.substr(colon);
  }
  return rest.empty() || (rest.front() == ':' && is_port(rest.substr(1)));
}

bool is_strict_localpart(std::string_view text) noexcept {
  return !text.empty() && all(text, [](char c) {
    return (c >= 'a' && c <= 'z') || digit(c) || c == '.' || c == '_' || c == '=' || c == '-' || c == '/' || c == '+';
  });
}

std::optional<UserId> parse_user_id(std::string_view text, Localpart form) noexcept {
  const auto h = halves(text, '@');
  if (!h) return std::nullopt;
  // Empty localparts exist in the wild: only new accounts are refused one.
  if (form == Localpart::Strict && !is_strict_localpart(h->first)) return std::nullopt;
  return UserId{h->first, h->server};
}

std::optional<RoomId> parse_room_id(std::string_view text) noexcept {
  if (text.size() < 2 || text.size() > kIdBytesMax || text.front() != '!') return std::nullopt;
  if (text.find(':') == std::string_view::npos) {
    const auto opaque = text.substr(1);
    if (opaque.size() != 43 || !all(opaque, base64url)) return std::nullopt;
    return RoomId{opaque, {}};
  }
  const auto h = halves(text, '!');
  if (!h || h->first.empty()) return std::nullopt;
  return RoomId{h->first, h->server};
}

std::optional<RoomAlias> parse_room_alias(std::string_view text) noexcept {
  const auto h = halves(text, '#');
  if (!h || h->first.empty()) return std::nullopt;
  return RoomAlias{h->first, h->server};
}

std::optional<MxcUri> parse_mxc(std::string_view text) noexcept {
  constexpr std::string_view kScheme = "mxc://";
  if (!text.starts_with(kScheme) || text.size() > kIdBytesMax) return std::nullopt;
  text.remove_prefix(kScheme.size());
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const MxcUri uri{text.substr(0, slash), text.substr(slash + 1)};
  if (!is_server_name(uri.server) || uri.media_id.empty() || !all(uri.media_id, base64url)) return std::nullopt;
  return uri;
}

bool is_event_id(std::string_view text) noexcept {
  return text.size() > 1 && text.size() <= kIdBytesMax && text.front() == '$' &&
         text.find('\0') == std::string_view::npos && is_valid_utf8(text);
}

bool is_hash_event_id(std::string_view text) noexcept {
  return text.size() == 44 && text.front() == '$' && all(text.substr(1), base64url);
}

}  // namespace haechi::messenger
