#pragma once
// What sync needs of a user's own data and of others' presence.

#include <string>
#include <vector>

#include "base/task.hpp"
#include "messenger/user/users.hpp"

namespace haechi::messenger {

struct AccountDatum {
  std::string room_id;  ///< empty: global
  std::string type;
  std::string content;  ///< JSON text; "{}" when deleted
};

class AccountDataReader {
 public:
  virtual ~AccountDataReader() = default;
  /// What changed with after < pos <= upto; with after == 0 everything that is set
  /// (deleted entries are left out then). m.push_rules is among it.
  virtual Task<Result<std::vector<AccountDatum>>> changed(UserPtr user, Position after, Position upto) = 0;
};

class UnreadReader {
 public:
  virtual ~UnreadReader() = default;
  /// Brings the counts up to the room's newest committed event and returns them;
  /// what is known is not counted again. The reference holds until the next wait.
  virtual Task<Result<const Unread*>> unread(UserPtr user, RoomPtr room) = 0;
};

class PresenceReader {
 public:
  virtual ~PresenceReader() = default;
  /// m.presence events (JSON texts) of users who share a room with `user`, changed after `stamp` (0: all known).
  virtual std::vector<std::string> changed(const UserState& user, std::int64_t stamp) = 0;
  /// A sync with set_presence, or any other sign of life.
  virtual void seen(const std::string& user, std::string_view set_presence, std::string_view device = {}) = 0;
};

}  // namespace haechi::messenger
