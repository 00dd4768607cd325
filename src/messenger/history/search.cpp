#include "messenger/history/search.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"
#include "messenger/errc.hpp"
#include "messenger/history/repo.hpp"
#include "messenger/sync/token.hpp"

namespace haechi::messenger {
namespace {

/// What is collected at the most, and how far a search goes on only to count.
constexpr std::size_t kHitsMax = 1000;
constexpr std::size_t kRowsToCount = 20'000;
constexpr std::size_t kPerRoomMin = 100;

struct Running {
  explicit Running(std::size_t& count) : n(count) { ++n; }
  ~Running() { --n; }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  std::size_t& n;
};

std::vector<std::int64_t> rooms_of(const UserState& user, const RoomEventFilter& filter) {
  std::vector<std::int64_t> out;
  for (const auto& [num, ref] : user.rooms) {
    const bool was_in =
        ref.membership == Membership::Join || ref.membership == Membership::Leave || ref.membership == Membership::Ban;
    if (was_in && !ref.forgotten && filter.matches_room(ref.room_id)) out.push_back(num);
  }
  return out;
}

}  // namespace

SearchApi::SearchApi(Gate& gate, Rooms& rooms, Users& users, Visibility& visibility, Relations& relations,
                     store::Readers& readers, const Clock& clock)
    : gate_(gate),
      rooms_(rooms),
      users_(users),
      visibility_(visibility),
      access_(rooms, users, visibility),
      pages_(rooms, visibility, relations),
      readers_(readers),
      clock_(clock) {}

void SearchApi::routes(net::Router& router) {
  router.on<>(net::Method::Post, "/_matrix/client/v3/search", [this](net::Request& req) { return search(req); });
}

SearchApi::Answer SearchApi::search(net::Request& req) {
  CO_TRY(const auto session, co_await gate_.require(req));
  CO_TRY(const auto body, read_body(req));
  CO_TRY(const auto query, SearchQuery::parse(body, req.param("next_batch")));
  if (running_ >= kRunningMax) co_return fail(haechi::Errc::Overloaded, "Too many searches run now, try again soon");
  const Running running(running_);
  CO_TRY(auto user, co_await users_.get(session->user_id));
  Findings findings;
  if (!query.words.empty()) CO_TRY_DO(co_await find(query, std::move(user), req.canceller, findings));
  CO_TRY(auto text, co_await render(query, findings, device_key(*session)));
  co_return reply_text(std::move(text));
}

Task<Result<>> SearchApi::find(const SearchQuery& query, UserPtr user, Canceller* canceller, Findings& findings) {
  const auto nums = rooms_of(*user, query.filter);
  if (nums.empty()) co_return {};
  const auto per_room = std::max(kRowsPerRead / nums.size(), kPerRoomMin);
  std::vector<Hit> hits;
  Position before = query.cursor.before;
  std::size_t rows = 0;
  const auto full = [&] {
    return hits.size() >= kHitsMax || (!query.by_rank && hits.size() > query.limit && rows >= kRowsToCount);
  };
  for (std::size_t reads = 0; before > 0 && rows < kRowsMax && reads < kReadsMax && !full(); ++reads) {
    if (canceller && canceller->cancelled()) co_return fail(haechi::Errc::Cancelled, "The client has gone");
    std::vector<repo::ScanRoom> scan_rooms;
    for (const auto num : nums) {
      scan_rooms.push_back({num, rooms_.by_room().find_recent(static_cast<std::uint64_t>(num), before, per_room)});
    }
    auto scanned = co_await readers_.read([&](store::Connection& c) -> Result<repo::Scan> {
      return repo::scan(c, rooms_.by_room(), scan_rooms, before, per_room, query);
    });
    if (!scanned) co_return std::unexpected(std::move(scanned.error()));
    rows += scanned->rows;
    before = scanned->reached;

    std::vector<std::int64_t> unknown;
    for (const auto& m : scanned->matches) {
      if (findings.readers.try_emplace(m.event->room_num).second) unknown.push_back(m.event->room_num);
    }
    CO_TRY(const auto found_rooms, co_await rooms_.get_all(std::move(unknown)));
    for (const auto& room : found_rooms) {
      auto reader = co_await access_.enter(room->id, user->id);
      if (reader) findings.readers[room->num] = *std::move(reader);
    }
    for (auto& m : scanned->matches) {
      auto& reader = findings.readers[m.event->room_num];
      if (!reader) continue;
      const std::vector<EventPtr> one{m.event};
      CO_TRY_DO(co_await reader->prepare(visibility_, one));
      if (m.event->pos > reader->upto || !reader->sees(*m.event) || !query.filter.matches(*m.event)) continue;
      hits.push_back({std::move(m.event), &*reader, m.rank});
    }
  }

  // The count is of all pages: by time, those before this one are known by the cursor alone.
  const auto earlier = query.by_rank ? 0 : query.cursor.skip;
  findings.count = earlier + hits.size();
  const auto newest = hits.empty() ? before : hits.front().event->pos + 1;
  if (query.by_rank) {
    std::ranges::sort(hits, [](const Hit& a, const Hit& b) {
      return a.rank != b.rank ? a.rank > b.rank : a.event->pos > b.event->pos;
    });
  }
  const auto skip = query.by_rank ? std::min(query.cursor.skip, hits.size()) : 0;
  const auto end = std::min(skip + query.limit, hits.size());
  // A full page always has a next one, if only an empty one: clients expect the token.
  if (end < hits.size() || (end > skip && end - skip == query.limit)) {
    const SearchQuery::Cursor next =
        query.by_rank ? SearchQuery::Cursor{newest, end} : SearchQuery::Cursor{hits[end - 1].event->pos, earlier + end};
    findings.next_batch = cursor_text(next);
  } else if (before > 0) {
    findings.next_batch = cursor_text({before, earlier + (query.by_rank ? 0 : end)});
  }
  findings.hits.assign(hits.begin() + static_cast<std::ptrdiff_t>(skip),
                       hits.begin() + static_cast<std::ptrdiff_t>(end));
  co_return {};
}

}  // namespace haechi::messenger
