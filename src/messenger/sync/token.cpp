#include "messenger/sync/token.hpp"

#include <fmt/format.h>

#include "base/text.hpp"

namespace haechi::messenger {
namespace {

/// Leaves room to count on from what a client made up.
constexpr std::int64_t kMax = std::int64_t{1} << 62;

std::optional<std::int64_t> number(std::string_view text) {
  const auto n = parse_int(text);
  return n && *n >= 0 && *n < kMax ? n : std::nullopt;
}

}  // namespace

std::string SyncToken::text() const {
  if (node == 0) return fmt::format("s{}_{}_{}", pos, stamp, to_device);
  return fmt::format("s{}_{}_{}_{}", pos, stamp, to_device, node);
}

std::optional<SyncToken> SyncToken::parse(std::string_view text) {
  if (!text.starts_with('s') || text.size() > 80) return std::nullopt;
  const auto parts = split(text.substr(1), '_');
  if (parts.size() != 1 && parts.size() != 3 && parts.size() != 4) return std::nullopt;
  SyncToken t;
  const auto pos = number(parts[0]);
  if (!pos) return std::nullopt;
  t.pos = *pos;
  t.to_device = *pos;
  if (parts.size() > 1) {
    const auto stamp = number(parts[1]);
    const auto mail = number(parts[2]);
    if (!stamp || !mail) return std::nullopt;
    t.stamp = *stamp;
    t.to_device = *mail;
  }
  if (parts.size() == 4) {
    const auto node = number(parts[3]);
    if (!node || *node > UINT32_MAX) return std::nullopt;
    t.node = static_cast<std::uint32_t>(*node);
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
  return number(text.substr(1));
}

}  // namespace haechi::messenger
