#include "messenger/sync/newest.hpp"

#include <algorithm>

namespace haechi::messenger {
namespace {
constexpr std::size_t kScanMax = 2000;
}

Task<Result<Newest>> newest_events(Rooms& rooms, Visibility& visibility, UserPtr user, RoomPtr room, Position after,
                                   Position upto, std::size_t limit, const RoomEventFilter* filter) {
  Newest out;
  Position before = upto + 1;
  std::size_t scanned = 0;
  while (true) {
    // One more than asked for, to know whether there are others.
    const std::size_t want = limit + 1 - out.events.size();
    CO_TRY(auto page, co_await rooms.range(room, after + 1, before, want, Direction::Backward));
    const bool more = page.size() == want;
    scanned += page.size();
    if (!page.empty()) before = page.back()->pos;
    CO_TRY(page, co_await visibility.filter(room, user->id, std::move(page)));
    for (auto& e : page) {
      if (filter && !filter->everything() && !filter->matches(*e)) continue;
      if (!e->is_state() && user->ignored.contains(e->sender)) continue;
      out.events.push_back(std::move(e));
    }
    if (out.events.size() > limit || !more) break;
    if (scanned >= kScanMax) {
      out.limited = true;
      break;
    }
  }
  if (out.events.size() > limit) {
    out.events.resize(limit);
    out.limited = true;
  }
  std::ranges::reverse(out.events);
  co_return out;
}

}  // namespace haechi::messenger
