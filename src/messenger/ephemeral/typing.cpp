#include "messenger/ephemeral/typing.hpp"

#include <algorithm>

#include "base/json.hpp"
#include "base/text.hpp"
#include "messenger/ephemeral/said.hpp"

namespace haechi::messenger {
namespace {
constexpr std::string_view kTopic = "typing";
constexpr auto kSayEvery = std::chrono::milliseconds(50);
constexpr std::int64_t kLongestMs = 120'000;
}  // namespace

void Typing::start() {
  rooms_.observe(*this);
  journal_.on_broadcast(std::string(kTopic), [this](std::string_view message) { hear(message); });
}

void Typing::begin(RoomPtr room, std::string user, Duration for_time) {
  say(room->num, user, std::chrono::duration_cast<std::chrono::milliseconds>(for_time).count());
  set(room, std::move(user), for_time);
}

void Typing::end(Room& room, std::string_view user) {
  if (!room.typing.until.contains(user)) return;
  say(room.num, user, 0);
  unset(room, user);
}

// -- the other nodes --

void Typing::say(std::int64_t room_num, std::string_view user, std::int64_t for_ms) {
  if (!journal_.shared()) return;
  unsaid_[room_num].insert_or_assign(std::string(user), for_ms);
  if (!say_timer_.armed()) loop_.timers().arm(say_timer_, loop_.now() + kSayEvery, [this] { say_now(); });
}

void Typing::say_now() {
  Said said(journal_, kTopic);
  for (const auto& [num, users] : unsaid_) {
    for (const auto& [user, for_ms] : users) {
      std::string item = "[" + std::to_string(num) + ',';
      append_json_string(item, user);
      item += ',' + std::to_string(for_ms) + ']';
      said.add(item);
    }
  }
  said.send();
  unsaid_.clear();
}

void Typing::hear(std::string_view message) {
  for (const auto& item : heard_items(message)) {
    const auto* a = item.if_array();
    if (!a || a->size() != 3 || !(*a)[0].is_int64() || !(*a)[1].is_string() || !(*a)[2].is_int64()) continue;
    const auto room = rooms_.find((*a)[0].get_int64());
    if (!room) continue;  // nobody here looks at it
    std::string user((*a)[1].get_string());
    const auto for_ms = std::min((*a)[2].get_int64(), kLongestMs);
    if (for_ms > 0) set(room, std::move(user), std::chrono::milliseconds(for_ms));
    else unset(*room, user);
  }
}

// -- the memory --

void Typing::set(const RoomPtr& room, std::string user, Duration for_time) {
  auto& typing = room->typing;
  const bool news = !typing.until.contains(user);
  typing.until[std::move(user)] = loop_.now() + for_time;
  auto& busy = busy_[room->num];
  if (!busy) busy = std::make_unique<Busy>();
  busy->room = room;
  arm(*room);
  if (news) tell(*room);
}

void Typing::unset(Room& room, std::string_view user) {
  const auto it = room.typing.until.find(user);
  if (it == room.typing.until.end()) return;
  room.typing.until.erase(it);
  tell(room);
  arm(room);
}

void Typing::on_event(Room& room, const EventPtr& event) {
  if (room.typing.until.empty() || event->type != "m.room.member" || !event->state_key) return;
  if (event->membership() != "join") unset(room, *event->state_key);  // every node sees that for itself
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
