#pragma once
// The keys of devices: uploaded, queried, claimed, and who must be told that
// somebody's devices changed.

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "identity/types.hpp"
#include "messenger/keys/ports.hpp"
#include "messenger/room/rooms.hpp"
#include "messenger/user/users.hpp"

namespace haechi::messenger {

/// Loop thread only. Lifecycle: construct, start() after Users::start and before
/// the journal starts; register hooks() with identity.
class DeviceKeys final : public DeviceListReader, public KeyCountReader {
 public:
  DeviceKeys(store::Readers& readers, journal::Journal& journal, Rooms& rooms, Users& users);
  void start();
  /// New, renamed and removed devices change the device list in the same transaction.
  static identity::Hooks hooks();

  /// POST /keys/upload; the body as it came. Returns the answer. Errc::BadJson, InvalidParam.
  Task<Result<std::string>> upload(std::string user, std::string device, json::object body);
  /// POST /keys/query as `viewer` sees it.
  Task<Result<std::string>> query(std::string viewer, json::object body);
  /// POST /keys/claim: each one-time key is given out once.
  Task<Result<std::string>> claim(json::object body);

  Task<Result<DeviceListDelta>> between(UserPtr user, Position after, Position upto) override;
  Task<Result<KeyCounts>> key_counts(UserPtr user, std::string device) override;

 private:
  /// A recent change of somebody's device list.
  struct Change {
    Position pos;
    std::string user;
    std::string only_for;  ///< empty: for everybody who shares a room
  };
  struct Moves;
  void follow(std::span<const journal::Entry> entries);
  void remember(Change change);
  Task<Result<>> changed_keys(UserPtr user, Position after, Position upto, TextSet& changed);
  Task<Result<>> moved_members(UserPtr user, Position after, Moves& moves);
  Task<Result<>> room_moves(UserPtr user, RoomPtr room, Position after, Moves& moves);

  store::Readers& readers_;
  journal::Journal& journal_;
  Rooms& rooms_;
  Users& users_;
  std::deque<Change> recent_;  ///< every change after recent_from_, oldest first
  Position recent_from_ = 0;
  std::uint64_t counts_changed_ = 0;  ///< counts kOneTimeKeys entries, so that a late read is not remembered
};

/// Inside a transaction: the user's device list changed, tell who shares a room with them.
Position note_device_list(journal::Tx& tx, std::string_view user);

}  // namespace haechi::messenger
