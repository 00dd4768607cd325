#include "messenger/push/unread.hpp"

#include <algorithm>

namespace haechi::messenger {
namespace {

/// Events behind the read receipt that are counted at the most.
constexpr std::size_t kCountMax = 5000;
/// Events that nobody has asked about yet and that are counted all the same before rules change.
constexpr std::ptrdiff_t kSettledFreshMax = 2'000;
constexpr std::string_view kMainThread = "main";

struct ReadUpto {
  Position everything = 0;  ///< unthreaded receipts: all threads
  const UserReceipts* receipts = nullptr;

  Position of(std::string_view thread) const {
    Position upto = everything;
    if (!receipts) return upto;
    for (const auto& [key, r] : *receipts) {
      if (key.second == thread) upto = std::max(upto, r.event_pos);
    }
    return upto;
  }
};

ReadUpto read_upto(const Room& room, std::string_view user) {
  ReadUpto out;
  if (const auto it = room.receipts.find(user); it != room.receipts.end()) {
    out.receipts = &it->second;
    for (const auto& [key, r] : it->second) {
      if (key.second.empty()) out.everything = std::max(out.everything, r.event_pos);
    }
  }
  return out;
}

/// Where counting begins when nothing is counted yet: what was read, and when the user came in.
Position begins_after(const Room& room, std::string_view user) {
  const auto read = read_upto(room, user).everything;
  const Event* own = room.state("m.room.member", user);
  // A new display name is not a new beginning.
  if (!own || own->prev_content.find("\"membership\":\"join\"") != std::string::npos) return read;
  return std::max(read, own->pos);
}

std::string_view thread_of(const Event& e) {
  return e.relation && e.relation->rel_type == "m.thread" ? std::string_view(e.relation->event_id) : kMainThread;
}

}  // namespace

const push::EventView& UnreadCounter::view_of(const Room& room, const EventPtr& event) {
  auto& slot = parsed_[static_cast<std::size_t>(event->pos) % parsed_.size()];
  if (slot.event != event) {
    slot.view.reset();
    slot.event = event;
    slot.content = must_parse_object(event->content());
    slot.view.emplace(push::EventFields{
        .type = event->type,
        .sender = event->sender,
        .room_id = room.id,
        .event_id = event->event_id,
        .state_key = event->state_key ? std::optional<std::string_view>(*event->state_key) : std::nullopt,
        .content = &slot.content,
        .whole = nullptr});
  }
  return *slot.view;
}

push::Actions UnreadCounter::judge(const UserState& user, const Room& room, const EventPtr& event) {
  const Event* member = room.state("m.room.member", user.id);
  const std::string_view id(user.id);
  const push::EvalContext context{
      .user_id = id,
      .localpart = id.substr(1, id.find(':') - 1),
      .display_name = member ? get_string(member->object(), "displayname").value_or("") : std::string_view{},
      .joined_members = event->joined_members,
      .sender_power_level = event->sender_may_notify_room ? push::kNotificationLevelDefault : -1,
      .room_notification_level = push::kNotificationLevelDefault,
      .notifications = nullptr};
  return push::evaluate(user.rules, view_of(room, event), context);
}

void UnreadCounter::count(UserState& user, const Room& room, Unread& unread, const EventPtr& event) {
  unread.upto = event->pos;
  const auto thread = thread_of(*event);
  if (event->sender == user.id) {
    // Who writes has read.
    if (thread == kMainThread) unread.main = {};
    else if (const auto it = unread.threads.find(thread); it != unread.threads.end()) unread.threads.erase(it);
    return;
  }
  if (!event->redacted_by.empty() || user.ignored.contains(event->sender)) return;
  if (event->pos <= read_upto(room, user.id).of(thread)) return;
  const auto actions = judge(user, room, event);
  if (!actions.notify) return;
  auto& counts = thread == kMainThread ? unread.main : unread.threads[std::string(thread)];
  ++counts.notify;
  if (actions.highlight) ++counts.highlight;
}

Task<Result<const Unread*>> UnreadCounter::unread(UserPtr user, RoomPtr room) {
  while (true) {
    auto& unread = user->rooms[room->num].unread;
    if (unread.upto >= room->last_pos()) co_return &unread;
    const Position known = unread.upto;
    const Position from = known == 0 ? begins_after(*room, user->id) : known;
    const Position upto = room->last_pos();
    if (from >= upto) {
      unread.upto = upto;
      continue;
    }
    CO_TRY(auto events, co_await rooms_.range(room, from + 1, upto + 1, kCountMax, Direction::Backward));
    auto& again = user->rooms[room->num].unread;
    if (again.upto != known) continue;  // somebody else counted meanwhile
    for (auto it = events.rbegin(); it != events.rend(); ++it) count(*user, *room, again, *it);
    again.upto = std::max(again.upto, upto);
  }
}

void UnreadCounter::settle(UserState& user, Position upto) {
  std::ptrdiff_t fresh_max = kSettledFreshMax;
  for (auto& [num, ref] : user.rooms) {
    const auto room = ref.room;
    if (!room) continue;
    const Position known = ref.unread.upto == 0 ? begins_after(*room, user.id) : ref.unread.upto;
    if (known + 1 < room->timeline_from()) continue;
    const auto& line = room->timeline();
    const auto first = std::ranges::upper_bound(line, known, {}, [](const EventPtr& e) { return e->pos; });
    // Another node may have counted what nobody has asked this one for.
    if (ref.unread.upto == 0 && (fresh_max -= line.end() - first) < 0) break;
    for (auto it = first; it != line.end() && (*it)->pos <= upto; ++it) count(user, *room, ref.unread, *it);
  }
}

void UnreadCounter::forget(UserState& user, std::int64_t room_num) {
  if (const auto it = user.rooms.find(room_num); it != user.rooms.end()) it->second.unread = {};
}

}  // namespace haechi::messenger
