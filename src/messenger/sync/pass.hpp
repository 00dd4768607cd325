#pragma once
// One attempt to answer a sync: everything at one fixed position.

#include "messenger/sync/parts.hpp"
#include "messenger/sync/sync.hpp"

namespace haechi::messenger {

/// Room account data that goes with its room's block.
using RoomData = TextMap<std::vector<const AccountDatum*>>;

struct Sync::Pass {
  const SyncRequest& request;
  UserPtr user;
  std::string device;  ///< "user|device"
  SyncToken since;     ///< zeros on a first sync
  SyncToken now;
  bool initial = true;
  WallMs wall_ms = 0;
  std::string out;
  bool anything = false;  ///< something that ends a long poll

  /// Set while the rooms' blocks are built.
  const RoomData* room_data = nullptr;

  const Filter& filter() const { return *request.filter; }
  bool full() const { return initial || request.full_state; }
  bool lazy() const { return request.filter->state.lazy_load_members || request.filter->timeline.lazy_load_members; }
};

}  // namespace haechi::messenger
