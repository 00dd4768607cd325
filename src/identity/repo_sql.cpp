#include "identity/repo.hpp"

namespace haechi::identity::repo {
namespace {

using store::Blob;
using store::Row;
using store::Sql;

#define USER_COLUMNS "num, user_id, kind, created_ms, admin, deactivated, locked, suspended, erased, password_hash"

constexpr Sql kUser{"SELECT " USER_COLUMNS " FROM users WHERE user_id = $1"};
constexpr Sql kUserExists{"SELECT 1 FROM users WHERE user_id = $1"};
constexpr Sql kUsersFrom{"SELECT " USER_COLUMNS " FROM users WHERE num >= $1 ORDER BY num LIMIT $2"};
constexpr Sql kNextUserNum{"SELECT coalesce(max(num), 0) + 1 FROM users"};
constexpr Sql kInsertUser{
    "INSERT INTO users (user_id, num, kind, password_hash, created_ms, admin) VALUES ($1, $2, $3, $4, $5, $6)"};
constexpr Sql kUpdateUser{
    "UPDATE users SET admin = $1, deactivated = $2, locked = $3, suspended = $4, erased = $5 WHERE user_id = $6"};
constexpr Sql kSetPassword{"UPDATE users SET password_hash = $1 WHERE user_id = $2"};
constexpr Sql kSwapPassword{"UPDATE users SET password_hash = $1 WHERE user_id = $2 AND password_hash = $3"};
constexpr Sql kSetLeavePending{"UPDATE users SET leave_pending = $1 WHERE user_id = $2"};
constexpr Sql kLeavingUsers{"SELECT user_id, erased FROM users WHERE leave_pending = 1 ORDER BY num"};

#define DEVICE_COLUMNS "user_id, device_id, display_name, created_ms, last_seen_ms, last_seen_ip"

constexpr Sql kDevice{"SELECT " DEVICE_COLUMNS " FROM devices WHERE user_id = $1 AND device_id = $2"};
constexpr Sql kDevices{"SELECT " DEVICE_COLUMNS " FROM devices WHERE user_id = $1 ORDER BY created_ms, device_id"};
constexpr Sql kInsertDevice{
    "INSERT INTO devices (user_id, device_id, display_name, created_ms) VALUES ($1, $2, $3, $4)"};
constexpr Sql kRenameDevice{"UPDATE devices SET display_name = $1 WHERE user_id = $2 AND device_id = $3"};
constexpr Sql kSetLastSeen{
    "UPDATE devices SET last_seen_ms = $1, last_seen_ip = $2 WHERE user_id = $3 AND device_id = $4"};
constexpr Sql kDeleteDevice{"DELETE FROM devices WHERE user_id = $1 AND device_id = $2"};

constexpr Sql kToken{
    "SELECT t.kind, t.generation, t.expires_ms, s.generation, s.id, s.user_id, s.device_id, "
    "u.num, u.kind, u.admin, u.locked, u.suspended "
    "FROM session_tokens t JOIN sessions s ON s.id = t.session_id JOIN users u ON u.user_id = s.user_id "
    "WHERE t.hash = $1"};
constexpr Sql kSessionExists{"SELECT 1 FROM sessions WHERE id = $1"};
constexpr Sql kInsertSession{
    "INSERT INTO sessions (id, user_id, device_id, generation, created_ms) VALUES ($1, $2, $3, 0, $4)"};
constexpr Sql kDeleteTokensOf{
    "DELETE FROM session_tokens WHERE session_id IN "
    "(SELECT id FROM sessions WHERE user_id = $1 AND device_id = $2)"};
constexpr Sql kDeleteSessionOf{"DELETE FROM sessions WHERE user_id = $1 AND device_id = $2"};
constexpr Sql kAdvanceSession{"UPDATE sessions SET generation = $1 WHERE id = $2 AND generation < $3"};
constexpr Sql kInsertToken{
    "INSERT INTO session_tokens (hash, session_id, kind, generation, expires_ms) VALUES ($1, $2, $3, $4, $5)"};
constexpr Sql kDeleteTokensOlder{"DELETE FROM session_tokens WHERE session_id = $1 AND kind = $2 AND generation < $3"};
constexpr Sql kDeleteTokensNewer{"DELETE FROM session_tokens WHERE session_id = $1 AND generation > $2"};

#define REGISTRATION_COLUMNS "token, uses_allowed, completed, expires_ms"

constexpr Sql kRegistrationToken{"SELECT " REGISTRATION_COLUMNS " FROM registration_tokens WHERE token = $1"};
constexpr Sql kRegistrationTokens{"SELECT " REGISTRATION_COLUMNS
                                  " FROM registration_tokens ORDER BY created_ms, token"};
constexpr Sql kPutRegistrationToken{
    "INSERT INTO registration_tokens (token, uses_allowed, completed, expires_ms, created_ms) "
    "VALUES ($1, $2, $3, $4, $5) "
    "ON CONFLICT (token) DO UPDATE SET uses_allowed = excluded.uses_allowed, expires_ms = excluded.expires_ms"};
constexpr Sql kDeleteRegistrationToken{"DELETE FROM registration_tokens WHERE token = $1"};
constexpr Sql kUseRegistrationToken{
    "UPDATE registration_tokens SET completed = completed + 1 WHERE token = $1 "
    "AND (uses_allowed IS NULL OR completed < uses_allowed) AND (expires_ms IS NULL OR expires_ms > $2)"};

constexpr Sql kInsertLoginToken{"INSERT INTO login_tokens (hash, user_id, expires_ms) VALUES ($1, $2, $3)"};
constexpr Sql kExpireLoginTokens{"DELETE FROM login_tokens WHERE expires_ms <= $1"};
constexpr Sql kLoginToken{"SELECT user_id FROM login_tokens WHERE hash = $1 AND expires_ms > $2"};
constexpr Sql kDeleteLoginToken{"DELETE FROM login_tokens WHERE hash = $1"};
constexpr Sql kDeleteLoginTokensOf{"DELETE FROM login_tokens WHERE user_id = $1"};
constexpr Sql kInsertOpenId{"INSERT INTO openid_tokens (hash, user_id, expires_ms) VALUES ($1, $2, $3)"};
constexpr Sql kExpireOpenId{"DELETE FROM openid_tokens WHERE expires_ms <= $1"};
constexpr Sql kOpenIdUser{"SELECT user_id FROM openid_tokens WHERE hash = $1 AND expires_ms > $2"};
constexpr Sql kDeleteOpenIdOf{"DELETE FROM openid_tokens WHERE user_id = $1"};

constexpr Sql kPutHandOver{
    "INSERT INTO hand_overs (hash, sealed, expires_ms) VALUES ($1, $2, $3) "
    "ON CONFLICT (hash) DO UPDATE SET sealed = excluded.sealed, expires_ms = excluded.expires_ms"};
constexpr Sql kExpireHandOvers{"DELETE FROM hand_overs WHERE expires_ms <= $1"};
constexpr Sql kHandOver{"SELECT sealed FROM hand_overs WHERE hash = $1 AND expires_ms > $2"};
constexpr Sql kTakeHandOver{"DELETE FROM hand_overs WHERE hash = $1 AND expires_ms > $2"};

Blob blob(const Sha256& h) { return {{reinterpret_cast<const char*>(h.data()), h.size()}}; }

UserRecord user_of(const Row& r) {
  UserRecord u;
  u.num = r.i64(0);
  u.user_id = r.str(1);
  u.kind = static_cast<UserKind>(r.i64(2));
  u.created_ms = r.i64(3);
  u.admin = r.i64(4) != 0;
  u.deactivated = r.i64(5) != 0;
  u.locked = r.i64(6) != 0;
  u.suspended = r.i64(7) != 0;
  u.erased = r.i64(8) != 0;
  u.has_password = !r.is_null(9);
  return u;
}

Device device_of(const Row& r) {
  return {.user_id = r.str(0),
          .device_id = r.str(1),
          .display_name = r.opt_str(2),
          .created_ms = r.i64(3),
          .last_seen_ms = r.opt_i64(4),
          .last_seen_ip = r.opt_str(5)};
}

TokenRow token_of(const Row& r) {
  TokenRow t;
  t.kind = static_cast<TokenKind>(r.i64(0));
  t.generation = r.i64(1);
  t.session.expires_ms = r.opt_i64(2);
  t.session_generation = r.i64(3);
  t.session.id = r.i64(4);
  t.session.user_id = r.str(5);
  t.session.device_id = r.str(6);
  t.session.user_num = r.i64(7);
  t.session.guest = static_cast<UserKind>(r.i64(8)) == UserKind::Guest;
  t.session.admin = r.i64(9) != 0;
  t.session.locked = r.i64(10) != 0;
  t.session.suspended = r.i64(11) != 0;
  return t;
}

RegistrationToken registration_of(const Row& r) {
  return {.token = r.str(0), .uses_allowed = r.opt_i64(1), .completed = r.i64(2), .expires_ms = r.opt_i64(3)};
}

std::string first_text(const Row& r) { return r.str(0); }

}  // namespace

std::optional<UserRecord> user(Connection& c, std::string_view user_id) { return c.one(kUser, user_of, user_id); }

std::optional<Credentials> credentials(Connection& c, std::string_view user_id) {
  return c.one(kUser, [](const Row& r) { return Credentials{user_of(r), r.opt_str(9)}; }, user_id);
}

bool user_exists(Connection& c, std::string_view user_id) { return c.one_i64(kUserExists, user_id).has_value(); }

std::vector<UserRecord> users_from(Connection& c, std::int64_t num, std::int64_t limit) {
  return c.all(kUsersFrom, user_of, num, limit);
}

std::int64_t next_user_num(Connection& c) { return c.one_i64(kNextUserNum).value_or(1); }

void insert_user(Connection& c, const UserRecord& u, const std::optional<std::string>& password_hash) {
  c.put(kInsertUser, u.user_id, u.num, static_cast<int>(u.kind), password_hash, u.created_ms, u.admin);
}

void update_user(Connection& c, const UserRecord& u) {
  c.put(kUpdateUser, u.admin, u.deactivated, u.locked, u.suspended, u.erased, u.user_id);
}

void set_password(Connection& c, std::string_view user_id, const std::optional<std::string>& password_hash) {
  c.put(kSetPassword, password_hash, user_id);
}

void swap_password(Connection& c, std::string_view user_id, std::string_view old, std::string_view fresh) {
  c.put(kSwapPassword, fresh, user_id, old);
}

void set_leave_pending(Connection& c, std::string_view user_id, bool pending) {
  c.put(kSetLeavePending, pending, user_id);
}

std::vector<LeavingUser> leaving_users(Connection& c) {
  return c.all(kLeavingUsers, [](const Row& r) { return LeavingUser{r.str(0), r.i64(1) != 0}; });
}

std::optional<Device> device(Connection& c, std::string_view user_id, std::string_view device_id) {
  return c.one(kDevice, device_of, user_id, device_id);
}

std::vector<Device> devices(Connection& c, std::string_view user_id) { return c.all(kDevices, device_of, user_id); }

void insert_device(Connection& c, const Device& d) {
  c.put(kInsertDevice, d.user_id, d.device_id, d.display_name, d.created_ms);
}

bool rename_device(Connection& c, std::string_view user_id, std::string_view device_id,
                   const std::optional<std::string>& display_name) {
  return c.exec(kRenameDevice, display_name, user_id, device_id) > 0;
}

void set_last_seen(Connection& c, std::string_view user_id, std::string_view device_id, WallMs at,
                   std::string_view ip) {
  c.put(kSetLastSeen, at, ip, user_id, device_id);
}

bool delete_device(Connection& c, std::string_view user_id, std::string_view device_id) {
  return c.exec(kDeleteDevice, user_id, device_id) > 0;
}

std::optional<TokenRow> token(Connection& c, const Sha256& hash) { return c.one(kToken, token_of, blob(hash)); }

bool session_exists(Connection& c, std::int64_t id) { return c.one_i64(kSessionExists, id).has_value(); }

void insert_session(Connection& c, const Session& s, WallMs now) {
  c.put(kInsertSession, s.id, s.user_id, s.device_id, now);
}

void delete_session_of(Connection& c, std::string_view user_id, std::string_view device_id) {
  c.put(kDeleteTokensOf, user_id, device_id);
  c.put(kDeleteSessionOf, user_id, device_id);
}

bool advance_session(Connection& c, std::int64_t id, std::int64_t generation) {
  return c.exec(kAdvanceSession, generation, id, generation) > 0;
}

void insert_token(Connection& c, const Sha256& hash, std::int64_t session_id, TokenKind kind, std::int64_t generation,
                  std::optional<WallMs> expires_ms) {
  c.put(kInsertToken, blob(hash), session_id, static_cast<int>(kind), generation, expires_ms);
}

void delete_tokens_older(Connection& c, std::int64_t session_id, TokenKind kind, std::int64_t generation) {
  c.put(kDeleteTokensOlder, session_id, static_cast<int>(kind), generation);
}

void delete_tokens_newer(Connection& c, std::int64_t session_id, std::int64_t generation) {
  c.put(kDeleteTokensNewer, session_id, generation);
}

std::optional<RegistrationToken> registration_token(Connection& c, std::string_view token) {
  return c.one(kRegistrationToken, registration_of, token);
}

std::vector<RegistrationToken> registration_tokens(Connection& c) {
  return c.all(kRegistrationTokens, registration_of);
}

void put_registration_token(Connection& c, const RegistrationToken& t, WallMs now) {
  c.put(kPutRegistrationToken, t.token, t.uses_allowed, t.completed, t.expires_ms, now);
}

bool delete_registration_token(Connection& c, std::string_view token) {
  return c.exec(kDeleteRegistrationToken, token) > 0;
}

bool use_registration_token(Connection& c, std::string_view token, WallMs now) {
  return c.exec(kUseRegistrationToken, token, now) > 0;
}

void insert_login_token(Connection& c, const Sha256& hash, std::string_view user_id, WallMs expires_ms, WallMs now) {
  c.put(kExpireLoginTokens, now);
  c.put(kInsertLoginToken, blob(hash), user_id, expires_ms);
}

std::optional<std::string> take_login_token(Connection& c, const Sha256& hash, WallMs now) {
  auto user_id = c.one(kLoginToken, first_text, blob(hash), now);
  if (user_id) c.put(kDeleteLoginToken, blob(hash));
  return user_id;
}

void put_hand_over(Connection& c, const Sha256& hash, std::string_view sealed, WallMs expires_ms, WallMs now) {
  c.put(kExpireHandOvers, now);
  c.put(kPutHandOver, blob(hash), Blob{sealed}, expires_ms);
}

std::optional<std::string> hand_over(Connection& c, const Sha256& hash, WallMs now) {
  return c.one(kHandOver, first_text, blob(hash), now);
}

bool take_hand_over(Connection& c, const Sha256& hash, WallMs now) {
  return c.exec(kTakeHandOver, blob(hash), now) > 0;
}

void insert_openid_token(Connection& c, const Sha256& hash, std::string_view user_id, WallMs expires_ms, WallMs now) {
  c.put(kExpireOpenId, now);
  c.put(kInsertOpenId, blob(hash), user_id, expires_ms);
}

std::optional<std::string> openid_user(Connection& c, const Sha256& hash, WallMs now) {
  return c.one(kOpenIdUser, first_text, blob(hash), now);
}

void delete_small_tokens(Connection& c, std::string_view user_id) {
  c.put(kDeleteLoginTokensOf, user_id);
  c.put(kDeleteOpenIdOf, user_id);
}

}  // namespace haechi::identity::repo
