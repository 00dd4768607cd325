#include "messenger/push/notifications.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"
#include "messenger/ephemeral/receipts.hpp"
#include "messenger/sync/token.hpp"

namespace haechi::messenger {
namespace {

/// Events looked at in one request, at the most; the rest comes with the next page.
constexpr std::size_t kLookMax = 2000;
constexpr std::size_t kChunk = 50;

}  // namespace

/// One room, read backwards as far as its events are wanted.
struct Notifications::Source {
  RoomPtr room;
  std::vector<EventPtr> events;  ///< newest last
  Position next = 0;             ///< no event that was not given yet is newer; 0: none is left
};

Task<Result<>> Notifications::fill(Source& source) {
  CO_TRY(auto chunk, co_await rooms_.range(source.room, 1, source.next + 1, kChunk, Direction::Backward));
  source.next = chunk.empty() ? 0 : chunk.front()->pos;
  std::ranges::reverse(chunk);
  source.events = std::move(chunk);
  co_return Result<>{};
}

Task<Result<std::string>> Notifications::list(Query query) {
  CO_TRY(const auto user, co_await users_.get(query.user));
  std::vector<Source> sources;
  std::vector<std::int64_t> invited;
  for (const auto& [num, ref] : user->rooms) {
    if (ref.membership == Membership::Invite) invited.push_back(num);
    if (ref.membership != Membership::Join || !ref.room) continue;
    sources.push_back({.room = ref.room, .events = {}, .next = std::min(ref.room->last_pos(), query.before - 1)});
  }
  CO_TRY(auto invitations, co_await rooms_.get_all(std::move(invited)));
  for (auto& room : invitations) {
    const auto own = room->state_ptr("m.room.member", user->id);
    if (own && own->pos < query.before) sources.push_back({.room = std::move(room), .events = {own}, .next = own->pos});
  }

  // A heap by the newest event that is left: rooms are read only as far as needed.
  const auto older = [](const Source& a, const Source& b) { return a.next < b.next; };
  std::erase_if(sources, [](const Source& s) { return s.next <= 0; });
  std::ranges::make_heap(sources, older);
  std::string out = "{\"notifications\":[";
  std::size_t found = 0;
  std::size_t looked = 0;
  Position reached = query.before;
  while (!sources.empty() && found < query.limit && looked < kLookMax) {
    std::ranges::pop_heap(sources, older);
    auto& source = sources.back();
    if (source.events.empty()) {
      CO_TRY_DO(co_await fill(source));
      if (source.next <= 0) sources.pop_back();
      else std::ranges::push_heap(sources, older);
      continue;
    }
    const EventPtr event = std::move(source.events.back());
    source.events.pop_back();
    const auto room = source.room;
    if (!source.events.empty()) source.next = source.events.back()->pos;
    else source.next = room->membership(user->id) == Membership::Join ? event->pos - 1 : 0;
    if (source.next <= 0) sources.pop_back();
    else std::ranges::push_heap(sources, older);
    ++looked;
    reached = event->pos;

    if (event->sender == user->id || !event->redacted_by.empty() || user->ignored.contains(event->sender)) continue;
    const auto actions = unread_.judge(*user, *room, event);
    if (!actions.notify || (query.highlights_only && !actions.highlight)) continue;
    const json::array raw = actions.raw ? *actions.raw : json::array{};
    const bool for_me = event->is_state("m.room.member", user->id);
    if (!for_me && !co_await visibility_.require(room, user->id, event)) continue;

    if (found++ > 0) out += ',';
    out += "{\"actions\":" + to_text(raw) + ",\"event\":";
    append_client_event(out, *event,
                        {.device = query.device, .with_room_id = true, .room_id = room->id, .now = query.now});
    fmt::format_to(std::back_inserter(out), ",\"read\":{},\"ts\":{},\"room_id\":", has_read(*room, user->id, *event),
                   event->ts);
    append_json_string(out, room->id);
    out += '}';
  }
  out += ']';
  if (!sources.empty()) {
    out += ",\"next_token\":";
    append_json_string(out, page_token(reached));
  }
  out += '}';
  co_return out;
}

}  // namespace haechi::messenger
