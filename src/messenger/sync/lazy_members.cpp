#include "messenger/sync/lazy_members.hpp"

namespace haechi::messenger {

LazyMembers::Seen& LazyMembers::of(const std::string& device) {
  if (const auto it = by_device_.find(device); it != by_device_.end()) {
    recent_.splice(recent_.begin(), recent_, it->second);
    return recent_.front();
  }
  recent_.push_front(Seen{device, {}});
  by_device_.emplace(device, recent_.begin());
  if (recent_.size() > kDevicesMax) forget_oldest();
  return recent_.front();
}

void LazyMembers::forget_oldest() {
  for (const auto& [room, users] : recent_.back().rooms) marks_ -= users.size();
  by_device_.erase(recent_.back().device);
  recent_.pop_back();
}

bool LazyMembers::first_time(const std::string& device, std::int64_t room, std::string_view user) {
  if (!of(device).rooms[room].emplace(user).second) return false;
  // The devices that synced longest ago give way: they are told again.
  if (++marks_ > kMarksMax) {
    while (marks_ > kMarksMax / 2 && recent_.size() > 1) forget_oldest();
  }
  return true;
}

void LazyMembers::reset(const std::string& device) {
  if (!by_device_.contains(device)) return;
  auto& rooms = of(device).rooms;
  for (const auto& [room, users] : rooms) marks_ -= users.size();
  rooms.clear();
}

void LazyMembers::reset(const std::string& device, std::int64_t room) {
  if (!by_device_.contains(device)) return;
  auto& rooms = of(device).rooms;
  const auto it = rooms.find(room);
  if (it == rooms.end()) return;
  marks_ -= it->second.size();
  rooms.erase(it);
}

}  // namespace haechi::messenger
