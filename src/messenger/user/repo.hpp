#pragma once
// SQL that builds a UserState.

#include <string>
#include <vector>

#include "messenger/user/user_state.hpp"
#include "store/store.hpp"

namespace haechi::messenger::repo {

struct LoadedUser {
  Position head = 0;  ///< the newest position of the state of the database that was read
  std::vector<std::pair<std::int64_t, RoomRef>> rooms;
  std::string push_rules;  ///< stored JSON or empty
  std::string ignored;     ///< content of m.ignored_user_list or empty
  Position account_data_pos = 0;
  std::vector<std::pair<std::string, Position>> to_device;
};
LoadedUser load_user(store::Connection& c, std::string_view user);

}  // namespace haechi::messenger::repo
