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

/// Is this a value that `key` may have? Errc::KeyTooLarge, InvalidParam.
Result<> check_profile_field(std::string_view key, const json::value& value);
/// Errc::ProfileTooLarge.
Result<> check_profile_size(const json::object& fields);

/// Lifecycle: construct, give hooks() to identity, start() before the journal
/// starts, resume() once it runs, stop() before it stops. Loop thread only.
class Profiles final : public ProfileReader {
 public:
  using Fields = std::shared_ptr<const json::object>;

  Profiles(Loop& loop, store::Readers& readers, journal::Journal& journal, identity::Accounts& accounts, Users& users,
           Rooms& rooms, Writer& writer);

  identity::Hooks hooks();
  void start();
  Task<void> stop();

  Task<Result<Profile>> get(std::string user_id) override;
  /// Every field as clients see it. Errc::NotFound for users this server does not have.
  Task<Result<Fields>> fields(std::string user_id);
  /// Sets one field, or removes it (null pointer semantics: nothing). The rooms of
  /// the user hear of a new name or picture afterwards. Errc::ProfileTooLarge.
  Task<Result<>> set(std::string user_id, std::string key, std::optional<json::value> value);

 private:
  struct Cached {
    std::string user_id;
    Fields fields;
  };
  using CachedList = std::list<Cached>;
  void remember(std::string user_id, Fields fields);
  void forget(std::string_view user_id);
  void follow(std::span<const journal::Entry> entries);
  void propagate(std::string user_id);
  Task<void> tell_rooms(std::string user_id);

  Loop& loop_;
  store::Readers& readers_;
  journal::Journal& journal_;
  identity::Accounts& accounts_;
  Users& users_;
  Rooms& rooms_;
  Writer& writer_;
  CachedList recent_;  ///< front: used last
  TextMap<CachedList::iterator> cached_;
  std::uint64_t changes_ = 0;  ///< counts followed changes, so that a late read is not remembered
  /// Users whose rooms are being told; true: changed again meanwhile.
  TextMap<bool> telling_;
  bool stopping_ = false;
  Scope scope_;
};

}  // namespace haechi::messenger
