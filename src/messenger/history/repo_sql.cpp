#include "messenger/history/repo.hpp"

#include <algorithm>

namespace haechi::messenger::repo {
namespace {

constexpr store::Sql kRow{"SELECT room_num, event_id, pdu, extra, redacted_by FROM events WHERE pos = $1"};

}  // namespace

Scan scan(store::Connection& c, const store::LateIndex& by_room, std::span<const ScanRoom> rooms, Position before,
          std::size_t per_room, const SearchQuery& query) {
  Scan out;
  std::vector<Position> positions;
  for (const auto& room : rooms) {
    auto own = room.recent;
    if (own.size() < per_room) {
      const auto upto = own.empty() ? before : own.front();
      const auto stored = by_room.find_stored(c, static_cast<std::uint64_t>(room.num), 0, upto, per_room - own.size());
      own.insert(own.begin(), stored.rbegin(), stored.rend());
    }
    if (own.size() >= per_room && !own.empty()) out.reached = std::max(out.reached, own.front());
    positions.insert(positions.end(), own.begin(), own.end());
  }
  std::erase_if(positions, [&](Position p) { return p < out.reached; });
  std::ranges::sort(positions, std::greater{});
  for (const auto pos : positions) {
    ++out.rows;
    c.each(
        kRow,
        [&](const store::Row& r) {
          if (!r.is_null(4) || !query.may_match(r.text(2))) return;
          auto e = event_from_row(r.text(2), r.text(1), r.text(3), {});
          e->pos = pos;
          e->room_num = r.i64(0);
          // A hash in the index may belong to another room.
          const bool ours = std::ranges::any_of(rooms, [&](const ScanRoom& room) { return room.num == e->room_num; });
          if (!ours || !query.filter.EventFilter::matches(e->type, e->sender)) return;
          if (const auto rank = query.rank(*e)) out.matches.push_back({std::move(e), *rank});
        },
        pos);
  }
  return out;
}

}  // namespace haechi::messenger::repo
