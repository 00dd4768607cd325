#include "messenger/history/pages.hpp"

#include <algorithm>

namespace haechi::messenger {
namespace {

/// Whoever filters much reads more at once; whoever does not reads what is needed.
std::size_t page_size(std::size_t missing, const RoomEventFilter& filter, bool first) {
  constexpr std::size_t kMin = 100, kMax = 500;
  return filter.everything() && first ? missing : std::clamp(missing, kMin, kMax);
}

}  // namespace

Task<Result<Page>> Pages::page(Reader& reader, Position from, Position to, std::size_t limit, Direction dir,
                               const RoomEventFilter& filter) {
  const bool back = dir == Direction::Backward;
  Page page{.events = {}, .next = from, .more = true};
  if (reader.upto < INT64_MAX) {
    if (back) from = std::min(from, reader.upto + 1);
    else to = std::min(to, reader.upto + 1);
  }
  if (!filter.matches_room(reader.room->id)) {
    page.more = false;
    co_return page;
  }
  page.events.reserve(limit);
  std::size_t scanned = 0;
  bool first = true;
  while (page.events.size() < limit && page.more && scanned < kScanMax) {
    const auto want = page_size(limit - page.events.size(), filter, std::exchange(first, false));
    CO_TRY(auto events, co_await rooms_.range(reader.room, back ? to : from, back ? from : to, want, dir));
    scanned += events.size();
    page.more =
        events.size() == want && (!back || events.back()->type != "m.room.create" || !events.back()->is_state());
    const Position end = events.empty() ? from : back ? events.back()->pos : events.back()->pos + 1;
    CO_TRY_DO(co_await reader.prepare(visibility_, events));
    std::erase_if(events, [&](const EventPtr& e) { return !reader.sees(*e) || !filter.matches(*e); });
    CO_TRY(events,
           co_await relations_.related_by(std::move(events), filter.related_by_rel_types, filter.related_by_senders));
    from = end;
    const auto room_for = std::min(events.size(), limit - page.events.size());
    if (room_for < events.size()) {
      page.more = true;
      from = back ? events[room_for - 1]->pos : events[room_for - 1]->pos + 1;
    }
    page.events.insert(page.events.end(), events.begin(), events.begin() + static_cast<std::ptrdiff_t>(room_for));
  }
  page.next = from;
  co_return page;
}

Task<Result<>> Pages::append(std::string& out, Reader& reader, const std::vector<EventPtr>& events, std::string device,
                             WallMs now) {
  CO_TRY(const auto bundles, co_await relations_.bundles(reader.room, reader.user->id, events));
  std::size_t bytes = 0;
  for (const auto& e : events) bytes += e->client.size() + e->prev_content.size() + 160;
  out.reserve(out.size() + bytes);
  ClientView view{.device = device, .with_room_id = true, .room_id = reader.room->id, .now = now};
  bool first = true;
  for (const auto& e : events) {
    if (!std::exchange(first, false)) out += ',';
    const auto b = bundles.find(e->event_id);
    view.bundle = b == bundles.end() ? std::string_view{} : std::string_view(b->second);
    view.membership = reader.membership_at(e->pos);
    append_client_event(out, *e, view);
  }
  co_return {};
}

}  // namespace haechi::messenger
