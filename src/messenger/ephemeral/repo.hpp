#pragma once
// SQL of receipts and presence.

#include <functional>
#include <optional>
#include <string>

#include "messenger/room/room.hpp"
#include "store/store.hpp"

namespace haechi::messenger::repo {

/// The position of the event of a user's newest receipt; 0 when there is none.
Position receipt_event_pos(store::Connection& c, std::int64_t room, std::string_view user, std::string_view type,
                           std::string_view thread);
void put_receipt(store::Connection& c, std::int64_t room, std::string_view user, std::string_view type,
                 std::string_view thread, const Receipt& receipt);

struct StoredPresence {
  std::string user;
  std::string presence;
  std::optional<std::string> status;
  WallMs active_ms = 0;
};
void each_presence(store::Connection& c, const std::function<void(StoredPresence)>& f);
void put_presence(store::Connection& c, const StoredPresence& p);

}  // namespace haechi::messenger::repo
