#include "messenger/sync/token.hpp"

#include <fmt/format.h>

#include "base/text.hpp"

namespace haechi::messenger {

std::string SyncToken::text() const { return fmt::format("s{}_{}_{}", pos, stamp, to_device); }

std::optional<SyncToken> SyncToken::parse(std::string_view text) {
  if (!text.starts_with('s') || text.size() > 64) return std::nullopt;
  const auto parts = split(text.substr(1), '_');
  if (parts.size() != 1 && parts.size() != 3) return std::nullopt;
  SyncToken t;
  const auto pos = parse_int(parts[0]);
  if (!pos || *pos < 0) return std::nullopt;
  t.pos = *pos;
  t.to_device = *pos;
  if (parts.size() == 3) {
    const auto stamp = parse_int(parts[1]);
    const auto mail = parse_int(parts[2]);
    if (!stamp || *stamp < 0 || !mail || *mail < 0) return std::nullopt;
    t.stamp = *stamp;
    t.to_device = *mail;
  }
  return t;
}

std::string page_token(journal::Position before) { return fmt::format("t{}", before); }

std::optional<journal::Position> parse_page_token(std::string_view text) {
  if (text.starts_with('s')) {
    // A sync token stands after everything up to its position.
    const auto t = SyncToken::parse(text);
    return t ? std::optional(t->pos + 1) : std::nullopt;
  }
  if (!text.starts_with('t')) return std::nullopt;
  const auto pos = parse_int(text.substr(1));
  return pos && *pos >= 0 ? pos : std::nullopt;
}

}  // namespace haechi::messenger
