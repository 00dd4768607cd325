#pragma once
// What a sliding sync connection was sent. The state after an answer counts only
// once the client comes back with that answer's position; until then the state
// before is kept too, so that a lost answer can be made again.

#include <list>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "messenger/account/ports.hpp"
#include "messenger/sliding/request.hpp"
#include "messenger/sync/token.hpp"
#include "messenger/user/user_state.hpp"

namespace haechi::messenger::sliding {

/// One room as far as the client knows it.
struct Sent {
  Position upto = 0;                         ///< its events up to here were considered
  Membership membership = Membership::None;  ///< of the user, as told
  std::size_t timeline_limit = 0;
  std::shared_ptr<const RequiredState> state;  ///< everything that was ever asked for: changes to it keep coming
  std::shared_ptr<const TextSet> members;      ///< given because of "$LAZY"; may be null
  Counts unread;
  Position receipts_upto = 0;  ///< 0: none were sent
  bool typing = false;         ///< was sent, now only changes are
  bool account_data = false;   ///< likewise
};
using SentPtr = std::shared_ptr<const Sent>;
using SentRooms = std::unordered_map<std::int64_t, SentPtr>;

/// The rooms that a request looks at, and how: kept while nothing moves.
struct View {
  std::size_t fingerprint = 0;
  Position upto = -1;                                       ///< valid while nothing was touched after this
  bool settled = false;                                     ///< an answer has dealt with every room in it
  std::vector<std::pair<std::string, std::size_t>> counts;  ///< list name, rooms in it
  struct Seen {
    ConfigPtr config;
    bool account_data = false, receipts = false, typing = false;  ///< within the extension's scope
  };
  std::unordered_map<std::int64_t, Seen> rooms;
};

struct Connection {
  std::string id;
  std::int64_t counter = 0;    ///< of answers
  std::uint64_t requests = 0;  ///< the newest request wins over those still waiting

  SentRooms rooms;        ///< as the client has confirmed
  std::string confirmed;  ///< its position; empty for a new connection
  SentRooms pending;      ///< what the last answer changed
  std::string last;       ///< position of the last answer

  // Derived data; safe to keep whatever the client does.
  View view;
  Position data_upto = -1;  ///< direct and tags are of then
  TextSet direct;           ///< room ids in m.direct
  TextMap<TextSet> tags;    ///< by room id

  SentPtr sent(std::int64_t room) const;
  /// The client came with `pos`: its state becomes the one that counts. False when unknown.
  bool resume(std::string_view pos);
  /// Takes direct rooms and tags from all of the user's account data.
  void learn(std::span<const AccountDatum> data, Position upto);
  /// The client begins anew.
  void restart();
};
using ConnectionPtr = std::shared_ptr<Connection>;

/// "<counter>/<sync token>".
std::string pos_text(std::int64_t counter, const SyncToken& token);
std::optional<SyncToken> parse_pos(std::string_view text);

/// Bounded: devices that came last, and a few connections of each.
class Connections {
 public:
  static constexpr std::size_t kDevicesMax = 10'000;
  static constexpr std::size_t kPerDeviceMax = 8;

  /// Null when there is none.
  ConnectionPtr find(const std::string& device, std::string_view id);
  ConnectionPtr make(const std::string& device, std::string_view id);
  std::size_t size() const { return count_; }

 private:
  struct Device {
    std::string key;
    std::vector<ConnectionPtr> connections;  ///< the one used last is the last
  };
  std::list<Device> recent_;  ///< front: used last
  TextMap<std::list<Device>::iterator> by_key_;
  std::size_t count_ = 0;
};

/// The position of a room's newest event of those kinds that lift it in a list.
/// What was found is kept per room and only what came since is looked at.
class BumpStamps {
 public:
  static bool lifts(std::string_view type);
  Position of(const Room& room);

 private:
  struct Known {
    Position seen = 0;
    Position stamp = 0;
  };
  static constexpr std::size_t kKnownMax = 200'000;
  std::unordered_map<std::int64_t, Known> known_;
};

}  // namespace haechi::messenger::sliding
