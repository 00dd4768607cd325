#include "messenger/sync/lazy_members.hpp"

namespace haechi::messenger {

LazyMembers::Seen& LazyMembers::of(const std::string& device) {
  if (const auto it = by_device_.find(device); it != by_device_.end()) {
    recent_.splice(recent_.begin(), recent_, it->second);
    return recent_.front();
  }
  recent_.push_front(Seen{device, {}});
  by_device_.emplace(device, recent_.begin());
  if (recent_.size() > kDevicesMax) {
    by_device_.erase(recent_.back().device);
    recent_.pop_back();
  }
  return recent_.front();
}

bool LazyMembers::first_time(const std::string& device, std::int64_t room, std::string_view user) {
  return of(device).rooms[room].emplace(user).second;
}

void LazyMembers::reset(const std::string& device) { of(device).rooms.clear(); }

void LazyMembers::reset(const std::string& device, std::int64_t room) { of(device).rooms.erase(room); }

}  // namespace haechi::messenger
