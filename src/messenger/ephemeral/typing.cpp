#include "messenger/ephemeral/typing.hpp"

#include <algorithm>

namespace haechi::messenger {

void Typing::begin(RoomPtr room, std::string user, Duration for_time) {
  auto& typing = room->typing;
  const bool news = !typing.until.contains(user);
  typing.until[std::move(user)] = loop_.now() + for_time;
  auto& busy = busy_[room->num];
  if (!busy) busy = std::make_unique<Busy>();
  busy->room = room;
  arm(*room);
  if (news) tell(*room);
}

void Typing::end(Room& room, std::string_view user) {
  const auto it = room.typing.until.find(user);
  if (it == room.typing.until.end()) return;
  room.typing.until.erase(it);
  tell(room);
  arm(room);
}

void Typing::on_event(Room& room, const EventPtr& event) {
  if (room.typing.until.empty() || event->type != "m.room.member" || !event->state_key) return;
  if (event->membership() != "join") end(room, *event->state_key);
}

void Typing::tell(Room& room) {
  room.typing.stamp = users_.next_stamp();
  for (auto* user : room.online) {
    user->ephemeral_stamp = room.typing.stamp;
    user->wake();
  }
}

void Typing::arm(Room& room) {
  const auto it = busy_.find(room.num);
  if (it == busy_.end()) return;
  if (room.typing.until.empty()) {
    busy_.erase(it);
    return;
  }
  Instant first = Instant::max();
  for (const auto& [user, until] : room.typing.until) first = std::min(first, until);
  loop_.timers().arm(it->second->timer, first, [this, num = room.num] { expire(num); });
}

void Typing::expire(std::int64_t room_num) {
  const auto it = busy_.find(room_num);
  if (it == busy_.end()) return;
  const auto room = it->second->room;
  const auto now = loop_.now();
  if (std::erase_if(room->typing.until, [&](const auto& t) { return t.second <= now; }) > 0) tell(*room);
  arm(*room);
}

}  // namespace haechi::messenger
