#pragma once
// GET /sync: what happened since a token, for one device.
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync

#include <memory>
#include <string>

#include "messenger/account/ports.hpp"
#include "messenger/api/gate.hpp"
#include "messenger/keys/ports.hpp"
#include "messenger/relations/ports.hpp"
#include "messenger/room/visibility.hpp"
#include "messenger/sync/filter.hpp"
#include "messenger/sync/lazy_members.hpp"
#include "messenger/sync/token.hpp"

namespace haechi::messenger {

/// Where `state` goes: before the timeline, or after it under one of two names (MSC4222).
enum class StateStyle { Before, After, AfterUnstable };

struct SyncRequest {
  SessionPtr session;
  std::optional<SyncToken> since;
  std::shared_ptr<const Filter> filter;
  bool full_state = false;
  Duration timeout{};
  std::string set_presence;
  StateStyle style = StateStyle::Before;
};

/// What sync reads from besides rooms and users.
struct SyncSources {
  ToDeviceReader& to_device;
  DeviceListReader& device_lists;
  KeyCountReader& key_counts;
  AccountDataReader& account_data;
  UnreadReader& unread;
  PresenceReader& presence;
  BundleReader& bundles;
};

/// Loop thread only. A waiting request costs its coroutine and a timer; waking
/// one looks at none of the others.
class Sync {
 public:
  Sync(Loop& loop, Rooms& rooms, Users& users, Visibility& visibility, journal::Journal& journal, SyncSources sources);

  /// The response body. Answers at once when there is anything, else when
  /// something comes or the timeout is over. `canceller` ends the wait early.
  Task<Result<std::string>> sync(SyncRequest request, Canceller* canceller);

 private:
  struct Pass;
  class RoomBlock;
  // Never inlined: the compiler would put their frames into the one that waits.
  /// Waits, with other nodes about, until this one is as far as they and as the token: false when
  /// it is not by the deadline.
  [[gnu::noinline]] Task<bool> caught_up(const SyncRequest& request, Instant deadline, Canceller* canceller);
  [[gnu::noinline]] Pass begin(const SyncRequest& request, UserPtr user);
  /// True when pass.out holds an answer.
  [[gnu::noinline]] Task<Result<bool>> attempt(Pass& pass);
  [[gnu::noinline]] Task<Result<std::string>> nothing_new(Pass& pass);
  Task<Result<bool>> build(Pass& pass);
  Task<Result<bool>> rooms_section(Pass& pass);
  Task<Result<bool>> joined(Pass& pass, RoomPtr room, std::string& out);
  Task<Result<bool>> left(Pass& pass, RoomPtr room, Position upto, std::string& out);
  void invited(Pass& pass, const Room& room, std::string& out) const;
  Task<Result<bool>> timeline_and_state(Pass& pass, RoomPtr room, Position since, Position upto, bool full,
                                        bool self_joined, std::string& out);
  static bool append_room_data(const Pass& pass, const Room& room, std::string& out);
  bool ephemeral(Pass& pass, const Room& room, Position since, bool full, std::string& out) const;

  Loop& loop_;
  Rooms& rooms_;
  Users& users_;
  Visibility& visibility_;
  journal::Journal& journal_;
  SyncSources sources_;
  LazyMembers lazy_;
  const std::uint32_t node_;  ///< see SyncToken::node
};

}  // namespace haechi::messenger
