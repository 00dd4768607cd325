#pragma once
// One attempt to answer a sync: everything at one fixed position.

#include "messenger/sync/parts.hpp"
#include "messenger/sync/sync.hpp"

namespace haechi::messenger {

struct Sync::Pass {
  const SyncRequest& request;
  UserPtr user;
  std::string device;              ///< "user|device"
  SyncToken since;                 ///< zeros on a first sync
  SyncToken now;
  bool initial = true;
  WallMs wall_ms = 0;
  std::string out;
  bool anything = false;           ///< something that ends a long poll

  /// Room account data that goes with its room's block.
  TextMap<std::vector<const AccountDatum*>> room_data;

  const Filter& filter() const { return *request.filter; }
  bool full() const { return initial || request.full_state; }
  bool lazy() const {
    return request.filter->state.lazy_load_members || request.filter->timeline.lazy_load_members;
  }
};

}  // namespace haechi::messenger
