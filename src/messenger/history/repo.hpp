#pragma once
// The SQL of searching.

#include <span>
#include <vector>

#include "messenger/history/search_query.hpp"
#include "store/late_index.hpp"
#include "store/store.hpp"

namespace haechi::messenger::repo {

struct ScanRoom {
  std::int64_t num = 0;
  /// What the index still holds in memory, below where the scan begins, ascending: its newest `per_room`.
  std::vector<Position> recent;
};
struct Scan {
  struct Match {
    EventPtr event;
    double rank;
  };
  std::vector<Match> matches;  ///< newest first
  Position reached = 0;        ///< everything from here on was looked at; 0: there is no more
  std::size_t rows = 0;
};

/// Looks at the events of `rooms` below `before`, newest first over all rooms: at
/// most `per_room` of each, and no further back than the room that has most.
Scan scan(store::Connection& c, const store::LateIndex& by_room, std::span<const ScanRoom> rooms, Position before,
          std::size_t per_room, const SearchQuery& query);

}  // namespace haechi::messenger::repo
