#pragma once
// Who users say they are: a name, a picture, any other field they like.
// https://spec.matrix.org/v1.19/client-server-api/#profiles

#include <list>
#include <memory>
#include <string>

#include "base/json.hpp"
#include "identity/accounts.hpp"
#include "messenger/room/writer.hpp"
#include "messenger/rooms/ports.hpp"
#include "messenger/user/users.hpp"

namespace haechi::messenger {

inline constexpr std::string_view kDisplayname = "displayname";
inline constexpr std::string_view kAvatarUrl = "avatar_url";
inline constexpr std::size_t kProfileBytesMax = 64 * 1024;  ///< of the whole profile as canonical JSON
inline constexpr std::size_t kProfileKeyBytesMax = 255;

/// May a field have this name? Errc::KeyTooLarge, InvalidParam.
Result<> check_profile_key(std::string_view key);
/// Is this a value that `key` may have? Errc::InvalidParam.
Result<> check_profile_value(std::string_view key, const json::value& value);
/// Errc::ProfileTooLarge.
Result<> check_profile_size(const json::object& fields);

/// Lifecycle: construct, give hooks() to identity, start() before the journal
/// starts, stop() before it stops. Loop thread only.
class Profiles final : public ProfileReader {
 public:
  using Fields = std::shared_ptr<const json::object>;

  Profiles(Loop& loop, store::Readers& readers, journal::Journal& journal, identity::Accounts& accounts, Users& users,
           Writer& writer);

  /// New users are called by their localpart; who is erased has no profile. All
  /// of it happens in the account's own transaction, so no object is needed.
  static identity::Hooks hooks();
  void start();
  Task<void> stop();

  Task<Result<Profile>> get(std::string user_id) override;
  /// Every field as clients see it. Errc::NotFound for users this server does not have.
  Task<Result<Fields>> fields(std::string user_id);
  /// Sets one field, or removes it. A new name or picture goes into the user's rooms;
  /// completes when it is there, or after a moment while the rest is still being told.
  /// Errc::ProfileTooLarge.
  Task<Result<>> set(std::string user_id, std::string key, std::optional<json::value> value);

 private:
  struct Cached {
    std::string user_id;
    Fields fields;
  };
  using CachedList = std::list<Cached>;
  /// One user's rooms are being told.
  struct Telling {
    bool again = false;            ///< the profile changed meanwhile
    std::vector<Waiter*> waiting;  ///< who wants to know when it is done
  };
  void remember(std::string user_id, Fields fields);
  void forget(std::string_view user_id);
  Task<void> tell_and_wait(std::string user_id);
  Task<void> tell_rooms(std::string user_id);
  Task<void> tell_room(RoomPtr room, std::string user_id, Profile profile);
  Task<Result<>> tell_once(RoomPtr room, std::string user_id, Profile profile);

  Loop& loop_;
  store::Readers& readers_;
  journal::Journal& journal_;
  identity::Accounts& accounts_;
  Users& users_;
  Writer& writer_;
  CachedList recent_;  ///< front: used last
  TextMap<CachedList::iterator> cached_;
  std::uint64_t changes_ = 0;  ///< counts followed changes, so that a late read is not remembered
  TextMap<Telling> telling_;
  bool stopping_ = false;
  Scope scope_;
};

}  // namespace haechi::messenger
