#pragma once
// Sync tokens: "s<position>_<stamp>_<to-device position>", and "_<node>" where there
// are several. The positions are the journal's, so every node of every site
// understands every token. The stamp is of what may be lost (typing, presence), in
// the order of one node: another one sees by the name that it must allow for that.

#include <optional>
#include <string>
#include <string_view>

#include "journal/journal.hpp"

namespace haechi::messenger {

struct SyncToken {
  journal::Position pos = 0;
  std::int64_t stamp = 0;
  /// To-device messages up to here were given. Lags behind pos when a page was full.
  journal::Position to_device = 0;
  /// Whose stamp it is; 0 where there is one node only.
  std::uint32_t node = 0;

  std::string text() const;
  /// Nothing for what no server of ours wrote. "s<position>" alone is accepted.
  static std::optional<SyncToken> parse(std::string_view text);
  bool operator==(const SyncToken&) const = default;
};

/// Pagination tokens of /messages and friends: "t<position>", between events:
/// everything with pos < position is before it. Sync tokens are accepted too.
std::string page_token(journal::Position before);
std::optional<journal::Position> parse_page_token(std::string_view text);

}  // namespace haechi::messenger
