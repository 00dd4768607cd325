#pragma once
// What somebody searches for: pure, no I/O.

#include <optional>
#include <string>
#include <vector>

#include "messenger/sync/filter.hpp"

namespace haechi::messenger {

struct SearchQuery {
  std::vector<std::string> words;    ///< folded; an event must have all of them
  std::vector<std::string> needles;  ///< the same as they stand in stored JSON
  bool body = true, name = true, topic = true;
  RoomEventFilter filter;
  std::size_t limit = 10;
  bool by_rank = true;
  struct Context {
    std::size_t before = 5, after = 5;
    bool profiles = false;
  };
  std::optional<Context> context;
  bool include_state = false;
  bool group_by_room = false, group_by_sender = false;

  /// Where to go on: events before `before`. `skip` were given already: the best of those for ranked
  /// results, newer ones than those otherwise.
  struct Cursor {
    Position before = INT64_MAX;
    std::size_t skip = 0;
  } cursor;

  /// The whole request body and the `next_batch` parameter.
  static Result<SearchQuery> parse(const json::object& body, const std::optional<std::string>& next_batch);

  /// Quick look at a stored row; may say yes in vain, never no in vain.
  bool may_match(std::string_view pdu) const;
  /// How well it matches; nothing when it does not. More hits in a shorter text are better.
  std::optional<double> rank(const Event& e) const;
};

std::string cursor_text(const SearchQuery::Cursor& cursor);

}  // namespace haechi::messenger
