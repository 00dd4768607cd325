#pragma once
// All SQL that reads relations and threads. Writing them is the room's work.

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "messenger/relations/relations.hpp"

namespace haechi::messenger::repo {

using store::Connection;

/// Decides by position whether a child counts; empty: every one does.
using ChildSeen = std::function<bool(Position)>;
Family read_family(Connection& c, const EventPtr& parent, const ChildSeen& seen);

bool has_annotation(Connection& c, std::string_view parent_id, std::string_view type, std::string_view sender,
                    std::string_view key);
bool has_relation(Connection& c, std::string_view parent_id, const std::vector<std::string>& rel_types,
                  const std::vector<std::string>& senders);

struct Kind {
  std::string rel_type, event_type;  ///< empty: any
};
/// Children with from <= pos < to, at most `limit`: the newest first, or the oldest.
std::vector<Position> children(Connection& c, std::int64_t room, std::string_view parent_id, const Kind& kind,
                               Position from, Position to, std::size_t limit, Direction dir);
/// Children and theirs, down to `depth_max`, at most `rows_max`, ascending. The kind
/// chooses among what is found, not the ways to it.
std::vector<Position> descendants(Connection& c, std::int64_t room, const std::string& parent_id, const Kind& kind,
                                  std::size_t depth_max, std::size_t rows_max);

struct ThreadRow {
  std::string root_id;
  Position latest = 0;
};
/// Threads with latest activity before `before`, newest first.
std::vector<ThreadRow> threads(Connection& c, std::int64_t room, Position before, std::size_t limit);
bool replied(Connection& c, std::string_view root_id, std::string_view user);

}  // namespace haechi::messenger::repo
