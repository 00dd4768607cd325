#pragma once
// Pages of a room's history: what one reader sees of it and a filter lets pass.

#include "messenger/history/access.hpp"
#include "messenger/relations/relations.hpp"
#include "messenger/sync/filter.hpp"

namespace haechi::messenger {

struct Page {
  std::vector<EventPtr> events;  ///< in the direction of paging
  Position next = 0;             ///< page token position to go on from
  bool more = false;             ///< false: there is surely nothing further
};

class Pages {
 public:
  Pages(Rooms& rooms, Visibility& visibility, Relations& relations)
      : rooms_(rooms), visibility_(visibility), relations_(relations) {}

  /// Backward: events before `from` and not before `to`, newest first. Forward:
  /// events not before `from` and before `to`, oldest first. Looks at kScanMax
  /// events at the most; then `more` is set and the page may be short.
  Task<Result<Page>> page(Reader& reader, Position from, Position to, std::size_t limit, Direction dir,
                          const RoomEventFilter& filter);

  /// Appends `events` separated by commas, as this reader's device sees them, with bundled aggregations.
  Task<Result<>> append(std::string& out, Reader& reader, const std::vector<EventPtr>& events, std::string device,
                        WallMs now);

  static constexpr std::size_t kScanMax = 5000;

 private:
  Rooms& rooms_;
  Visibility& visibility_;
  Relations& relations_;
};

}  // namespace haechi::messenger
