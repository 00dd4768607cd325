#pragma once
// One attempt to answer a sliding sync: everything at one fixed position.

#include <map>
#include <optional>

#include "messenger/sliding/sliding.hpp"
#include "messenger/sync/parts.hpp"

namespace haechi::messenger {

struct SlidingSync::Pass {
  const SlidingSyncRequest& request;
  UserPtr user;
  std::string device;  ///< "user|device"
  sliding::ConnectionPtr connection;
  std::uint64_t ticket = 0;  ///< Connection::requests when this one came
  bool initial = true;
  SyncToken since;  ///< zeros on a new connection
  SyncToken now;
  WallMs wall_ms = 0;

  std::string rooms, extensions;  ///< members of the objects, without braces
  bool anything = false;          ///< something that ends a long poll

  /// What this answer changes of what the client knows.
  std::unordered_map<std::int64_t, std::shared_ptr<sliding::Sent>> changed;
  std::vector<RoomPtr> held;   ///< keeps what was loaded from being evicted meanwhile
  TextMap<TextSet> timelines;  ///< event ids of timelines that begin in this answer, by room id
  std::optional<std::vector<AccountDatum>> all_data;
  TextSet touched;           ///< ids of rooms in which something moved since the last answer
  bool all_touched = false;  ///< nobody remembers which

  /// What was asked for before together with what is asked for now: many rooms share few such pairs.
  std::map<std::pair<const void*, const void*>, std::shared_ptr<const sliding::RequiredState>> unions;

  void reset() {
    rooms.clear();
    extensions.clear();
    anything = false;
    changed.clear();
    timelines.clear();
    all_data.reset();
    touched.clear();
    all_touched = false;
    unions.clear();
  }
  sliding::Sent& edit(std::int64_t num) {
    auto& place = changed[num];
    if (!place) {
      const auto before = connection->sent(num);
      place = before ? std::make_shared<sliding::Sent>(*before) : std::make_shared<sliding::Sent>();
    }
    return *place;
  }
};

}  // namespace haechi::messenger
