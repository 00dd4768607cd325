#pragma once
// Values of the module: who somebody is, on which device, by which token.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "journal/journal.hpp"

namespace haechi::identity {

/// The module's kinds in the change feed. subject is always the user id.
inline constexpr journal::Kind kUserChanged = 100;      ///< data: the record, without its password
inline constexpr journal::Kind kDeviceAdded = 101;      ///< data: {"device_id"}; a log-in, perhaps on a known device
inline constexpr journal::Kind kDeviceRenamed = 102;    ///< data: {"device_id"}
inline constexpr journal::Kind kDeviceRemoved = 103;    ///< data: {"device_id"}
inline constexpr journal::Kind kTokensChanged = 104;    ///< data: {"device_id"}; tokens were replaced, the device stays
inline constexpr journal::Kind kUserDeactivated = 105;  ///< data: {"erase"}; follows the user's kUserChanged

enum class UserKind { User = 0, Guest = 1, Appservice = 2 };
enum class Login { Yes, No };    ///< whether a registration also logs in
enum class Refresh { Yes, No };  ///< whether tokens expire and come with a refresh token
enum class Erase { Yes, No };
enum class LogoutOthers { Yes, No };

struct UserRecord {
  std::int64_t num = 0;  ///< small, never reused: a key for tables and maps
  std::string user_id;   ///< "@localpart:server"
  UserKind kind = UserKind::User;
  WallMs created_ms = 0;
  bool admin = false;
  bool deactivated = false;
  bool locked = false;
  bool suspended = false;
  bool erased = false;
  bool has_password = false;

  std::string_view localpart() const {
    const std::string_view id(user_id);
    return id.substr(1, id.find(':') - 1);
  }
};

struct Device {
  std::string user_id;
  std::string device_id;
  std::optional<std::string> display_name;
  WallMs created_ms = 0;
  std::optional<WallMs> last_seen_ms;
  std::optional<std::string> last_seen_ip;
};

/// What a valid access token stands for. Shared by the requests that use it; a
/// change of the user or a log-out makes a new one, holders keep the old.
struct Session {
  std::int64_t id = 0;  ///< survives refreshes, never reused
  std::int64_t user_num = 0;
  std::string user_id;
  std::string device_id;
  bool guest = false;
  bool admin = false;
  bool locked = false;
  bool suspended = false;
  std::optional<WallMs> expires_ms;
  /// When last_seen is worth noting again; belongs to Sessions::seen().
  mutable Instant seen_again{};
};

/// What a log-in, a registration or a refresh gives to the client.
struct Tokens {
  std::string access_token;
  std::optional<std::string> refresh_token;
  std::optional<std::int64_t> expires_in_ms;
};
struct LoggedIn {
  std::string user_id;
  std::string device_id;
  Tokens tokens;
};

/// What a client says of the device that it logs in with.
struct DeviceRequest {
  std::optional<std::string> device_id;     ///< generated when absent
  std::optional<std::string> display_name;  ///< for new devices only, as the specification says
  Refresh refresh = Refresh::No;
};

struct RegistrationToken {
  std::string token;
  std::optional<std::int64_t> uses_allowed;
  std::int64_t pending = 0;  ///< passed the stage, not yet registered; in memory of this node
  std::int64_t completed = 0;
  std::optional<WallMs> expires_ms;
};

/// How kUserChanged travels.
std::string user_to_feed(const UserRecord& user);
UserRecord user_from_feed(std::string_view user_id, std::string_view data);

/// What other modules do when accounts change. Empty members are skipped.
/// `*_tx` run on the commit thread inside the same transaction, so that a crash
/// cannot part them from the change; the others on the loop, after the commit,
/// on every node, in the order of the feed.
struct Hooks {
  std::function<void(journal::Tx&, const UserRecord&)> user_created_tx;
  std::function<void(journal::Tx&, std::string_view user_id, std::string_view device_id)>
      device_added_tx;  ///< new ones only
  std::function<void(journal::Tx&, std::string_view user_id, std::string_view device_id)> device_removed_tx;
  std::function<void(journal::Tx&, std::string_view user_id, std::string_view device_id)> device_renamed_tx;
  std::function<void(journal::Tx&, std::string_view user_id, Erase)> user_deactivated_tx;

  std::function<void(std::string_view user_id, std::string_view device_id)> device_added;    ///< each log-in
  std::function<void(std::string_view user_id, std::string_view device_id)> device_changed;  ///< renamed
  std::function<void(std::string_view user_id, std::string_view device_id)> device_removed;
  std::function<void(std::string_view user_id, Erase)> user_deactivated;  ///< on the node that did it
  std::function<void(std::string_view user_id)> user_deactivated_elsewhere;
  std::function<void(const UserRecord&)> user_changed;  ///< created, flags, password
};

}  // namespace haechi::identity
