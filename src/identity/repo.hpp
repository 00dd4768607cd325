#pragma once
// All SQL of the module. Functions that write run on the commit thread inside a
// transaction; the others there or on a reader.

#include <optional>
#include <string_view>
#include <vector>

#include "base/hash.hpp"
#include "identity/types.hpp"
#include "store/store.hpp"

namespace haechi::identity::repo {

using store::Connection;

struct Credentials {
  UserRecord user;
  std::optional<std::string> password_hash;
};
struct LeavingUser {
  std::string user_id;
  bool erased;
};
std::optional<UserRecord> user(Connection& c, std::string_view user_id);
std::optional<Credentials> credentials(Connection& c, std::string_view user_id);
bool user_exists(Connection& c, std::string_view user_id);
std::vector<UserRecord> users_from(Connection& c, std::int64_t num, std::int64_t limit);
std::int64_t next_user_num(Connection& c);
void insert_user(Connection& c, const UserRecord& user, const std::optional<std::string>& password_hash);
/// The flags; everything else of a user stays as it began.
void update_user(Connection& c, const UserRecord& user);
void set_password(Connection& c, std::string_view user_id, const std::optional<std::string>& password_hash);
/// Only where `old` is still the stored one.
void swap_password(Connection& c, std::string_view user_id, std::string_view old, std::string_view fresh);
void set_leave_pending(Connection& c, std::string_view user_id, bool pending);
std::vector<LeavingUser> leaving_users(Connection& c);

std::optional<Device> device(Connection& c, std::string_view user_id, std::string_view device_id);
std::vector<Device> devices(Connection& c, std::string_view user_id);
void insert_device(Connection& c, const Device& device);
bool rename_device(Connection& c, std::string_view user_id, std::string_view device_id,
                   const std::optional<std::string>& display_name);
void set_last_seen(Connection& c, std::string_view user_id, std::string_view device_id, WallMs at, std::string_view ip);
bool delete_device(Connection& c, std::string_view user_id, std::string_view device_id);

enum class TokenKind { Access = 0, Refresh = 1 };
struct TokenRow {
  TokenKind kind = TokenKind::Access;
  std::int64_t generation = 0;
  std::int64_t session_generation = 0;
  Session session;  ///< expires_ms is the token's
};
std::optional<TokenRow> token(Connection& c, const Sha256& hash);
bool session_exists(Connection& c, std::int64_t id);
void insert_session(Connection& c, const Session& session, WallMs now);
/// With all its tokens.
void delete_session_of(Connection& c, std::string_view user_id, std::string_view device_id);
/// False when the session is there already (or gone).
bool advance_session(Connection& c, std::int64_t id, std::int64_t generation);
void insert_token(Connection& c, const Sha256& hash, std::int64_t session_id, TokenKind kind, std::int64_t generation,
                  std::optional<WallMs> expires_ms);
void delete_tokens_older(Connection& c, std::int64_t session_id, TokenKind kind, std::int64_t generation);
void delete_tokens_newer(Connection& c, std::int64_t session_id, std::int64_t generation);

std::optional<RegistrationToken> registration_token(Connection& c, std::string_view token);
std::vector<RegistrationToken> registration_tokens(Connection& c);
void put_registration_token(Connection& c, const RegistrationToken& token, WallMs now);
bool delete_registration_token(Connection& c, std::string_view token);
/// False when it is unknown, expired or used up.
bool use_registration_token(Connection& c, std::string_view token, WallMs now);

void insert_login_token(Connection& c, const Sha256& hash, std::string_view user_id, WallMs expires_ms, WallMs now);
/// The user it was for; it is gone afterwards.
std::optional<std::string> take_login_token(Connection& c, const Sha256& hash, WallMs now);
void insert_openid_token(Connection& c, const Sha256& hash, std::string_view user_id, WallMs expires_ms, WallMs now);
std::optional<std::string> openid_user(Connection& c, const Sha256& hash, WallMs now);
void put_hand_over(Connection& c, const Sha256& hash, std::string_view sealed, WallMs expires_ms, WallMs now);
std::optional<std::string> hand_over(Connection& c, const Sha256& hash, WallMs now);
/// False when there is none (any more).
bool take_hand_over(Connection& c, const Sha256& hash, WallMs now);
/// Log-in and OpenID tokens of a user.
void delete_small_tokens(Connection& c, std::string_view user_id);

}  // namespace haechi::identity::repo
