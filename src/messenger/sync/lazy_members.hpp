#pragma once
#include <list>

#include "messenger/room/room.hpp"

namespace haechi::messenger {

/// Which member events a device has been given already, per room. Kept for the
/// devices that synced lately; forgetting only means sending again.
class LazyMembers {
 public:
  /// True the first time. Marks it as sent.
  bool first_time(const std::string& device, std::int64_t room, std::string_view user);
  /// The device begins anew.
  void reset(const std::string& device);
  void reset(const std::string& device, std::int64_t room);

 private:
  static constexpr std::size_t kDevicesMax = 20'000;
  static constexpr std::size_t kMarksMax = 2'000'000;  ///< of all devices together
  struct Seen {
    std::string device;
    std::unordered_map<std::int64_t, TextSet> rooms;
  };
  Seen& of(const std::string& device);
  void forget_oldest();
  std::size_t marks_ = 0;
  std::list<Seen> recent_;  ///< front: used last
  TextMap<std::list<Seen>::iterator> by_device_;
};

}  // namespace haechi::messenger
