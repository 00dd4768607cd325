#pragma once
#include <vector>

#include "messenger/room/visibility.hpp"
#include "messenger/sync/filter.hpp"
#include "messenger/user/user_state.hpp"

namespace haechi::messenger {

/// The newest events of a room that somebody may and wants to see.
struct Newest {
  std::vector<EventPtr> events;  ///< oldest first
  bool limited = false;          ///< there are others in the range
};

/// At most `limit` with after < pos <= upto. Looks at a bounded number of events:
/// behind a filter that hides most of them the answer is `limited` instead of complete.
Task<Result<Newest>> newest_events(Rooms& rooms, Visibility& visibility, UserPtr user, RoomPtr room, Position after,
                                   Position upto, std::size_t limit, const RoomEventFilter* filter = nullptr);

}  // namespace haechi::messenger
