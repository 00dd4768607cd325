#include "messenger/keys/repo.hpp"

namespace haechi::messenger::repo {
namespace {

using store::Row;
using store::Sql;

// `devices` is identity's table: a name to show, and who may get mail, must be
// read in the same transaction.
constexpr Sql kDeviceKeys{
    "SELECT k.device_id, k.keys, d.display_name FROM device_keys k "
    "LEFT JOIN devices d ON d.user_id = k.user_id AND d.device_id = k.device_id "
    "WHERE k.user_id = $1 ORDER BY k.device_id"};
constexpr Sql kDeviceKeysOf{
    "SELECT k.device_id, k.keys, d.display_name FROM device_keys k "
    "LEFT JOIN devices d ON d.user_id = k.user_id AND d.device_id = k.device_id "
    "WHERE k.user_id = $1 AND k.device_id = $2"};
constexpr Sql kPutDeviceKeys{
    "INSERT INTO device_keys (user_id, device_id, keys, pos) VALUES ($1, $2, $3, $4) "
    "ON CONFLICT (user_id, device_id) DO UPDATE SET keys = excluded.keys, pos = excluded.pos"};
constexpr Sql kDeleteDeviceKeys{"DELETE FROM device_keys WHERE user_id = $1 AND device_id = $2"};
constexpr Sql kDeleteOneTimeKeys{"DELETE FROM one_time_keys WHERE user_id = $1 AND device_id = $2"};
constexpr Sql kDeleteFallbackKeys{"DELETE FROM fallback_keys WHERE user_id = $1 AND device_id = $2"};
constexpr Sql kDeleteMail{"DELETE FROM to_device WHERE user_id = $1 AND device_id = $2"};
constexpr Sql kDevices{"SELECT device_id FROM devices WHERE user_id = $1 ORDER BY device_id"};
constexpr Sql kDeviceExists{"SELECT 1 FROM devices WHERE user_id = $1 AND device_id = $2"};

constexpr Sql kOneTimeKey{
    "SELECT key_json FROM one_time_keys WHERE user_id = $1 AND device_id = $2 AND algorithm = $3 AND key_id = $4"};
constexpr Sql kLastSeq{"SELECT MAX(seq) FROM one_time_keys WHERE user_id = $1 AND device_id = $2"};
constexpr Sql kAddOneTimeKey{
    "INSERT INTO one_time_keys (user_id, device_id, algorithm, key_id, key_json, seq) VALUES ($1, $2, $3, $4, $5, $6)",
    store::Rows::Together};
constexpr Sql kOldest{
    "SELECT key_id, key_json FROM one_time_keys WHERE user_id = $1 AND device_id = $2 AND algorithm = $3 "
    "ORDER BY seq LIMIT 1"};
constexpr Sql kDeleteOneTimeKey{
    "DELETE FROM one_time_keys WHERE user_id = $1 AND device_id = $2 AND algorithm = $3 AND key_id = $4"};
constexpr Sql kCounts{
    "SELECT algorithm, COUNT(*) FROM one_time_keys WHERE user_id = $1 AND device_id = $2 "
    "GROUP BY algorithm ORDER BY algorithm"};
constexpr Sql kFallback{
    "SELECT key_id, key_json, used FROM fallback_keys WHERE user_id = $1 AND device_id = $2 AND algorithm = $3"};
constexpr Sql kPutFallback{
    "INSERT INTO fallback_keys (user_id, device_id, algorithm, key_id, key_json, used) VALUES ($1, $2, $3, $4, $5, 0) "
    "ON CONFLICT (user_id, device_id, algorithm) DO UPDATE "
    "SET key_id = excluded.key_id, key_json = excluded.key_json, used = 0"};
constexpr Sql kFallbackUsed{
    "UPDATE fallback_keys SET used = 1 WHERE user_id = $1 AND device_id = $2 AND algorithm = $3"};
constexpr Sql kUnusedFallbacks{
    "SELECT algorithm FROM fallback_keys WHERE user_id = $1 AND device_id = $2 AND used = 0 ORDER BY algorithm"};

constexpr Sql kCrossKeys{"SELECT usage, key_json FROM cross_signing_keys WHERE user_id = $1"};
constexpr Sql kPutCrossKey{
    "INSERT INTO cross_signing_keys (user_id, usage, key_json, pos) VALUES ($1, $2, $3, $4) "
    "ON CONFLICT (user_id, usage) DO UPDATE SET key_json = excluded.key_json, pos = excluded.pos"};
constexpr Sql kDeleteCrossKey{"DELETE FROM cross_signing_keys WHERE user_id = $1 AND usage = $2"};
constexpr Sql kSignatures{
    "SELECT target_key, signer, signing_key_id, signature FROM key_signatures "
    "WHERE target_user = $1 AND (signer = $1 OR signer = $2)"};
constexpr Sql kSignature{
    "SELECT signature FROM key_signatures "
    "WHERE target_user = $1 AND target_key = $2 AND signer = $3 AND signing_key_id = $4"};
constexpr Sql kPutSignature{
    "INSERT INTO key_signatures (signer, target_user, target_key, signing_key_id, signature) VALUES ($1, $2, $3, $4, "
    "$5) "
    "ON CONFLICT (target_user, target_key, signer, signing_key_id) DO UPDATE SET signature = excluded.signature"};
constexpr Sql kDeleteSignaturesOn{"DELETE FROM key_signatures WHERE target_user = $1 AND target_key = $2"};
constexpr Sql kDeleteOwnSignaturesBy{
    "DELETE FROM key_signatures WHERE target_user = $1 AND signer = $1 AND signing_key_id = $2"};

constexpr Sql kSetListPos{
    "INSERT INTO device_lists (user_id, pos) VALUES ($1, $2) "
    "ON CONFLICT (user_id) DO UPDATE SET pos = excluded.pos"};
constexpr Sql kListsAfter{"SELECT user_id, pos FROM device_lists WHERE pos > $1 ORDER BY pos"};
constexpr Sql kSetUserSignaturePos{
    "INSERT INTO user_signature_lists (signer, target_user, pos) VALUES ($1, $2, $3) "
    "ON CONFLICT (signer, target_user) DO UPDATE SET pos = excluded.pos"};
constexpr Sql kUserSignaturesAfter{"SELECT target_user, pos FROM user_signature_lists WHERE signer = $1 AND pos > $2"};
constexpr Sql kJoinedRooms{"SELECT room_num FROM memberships WHERE user_id = $1 AND membership = 'join'"};

constexpr Sql kAddToDevice{"INSERT INTO to_device (user_id, device_id, pos, event) VALUES ($1, $2, $3, $4)",
                           store::Rows::Together};
constexpr Sql kToDevice{
    "SELECT pos, event FROM to_device WHERE user_id = $1 AND device_id = $2 AND pos > $3 AND pos <= $4 "
    "ORDER BY pos LIMIT $5"};
constexpr Sql kDeleteToDevice{"DELETE FROM to_device WHERE user_id = $1 AND device_id = $2 AND pos <= $3"};

#define VERSION_COLUMNS "version, algorithm, auth_data, etag, session_count, deleted"
constexpr Sql kVersion{"SELECT " VERSION_COLUMNS " FROM key_backup_versions WHERE user_id = $1 AND version = $2"};
constexpr Sql kCurrentVersion{
    "SELECT " VERSION_COLUMNS
    " FROM key_backup_versions WHERE user_id = $1 AND deleted = 0 ORDER BY version DESC LIMIT 1"};
constexpr Sql kLastVersion{"SELECT MAX(version) FROM key_backup_versions WHERE user_id = $1"};
constexpr Sql kAddVersion{
    "INSERT INTO key_backup_versions (user_id, version, algorithm, auth_data) VALUES ($1, $2, $3, $4)"};
constexpr Sql kSetAuthData{"UPDATE key_backup_versions SET auth_data = $1 WHERE user_id = $2 AND version = $3"};
constexpr Sql kSetCounters{
    "UPDATE key_backup_versions SET etag = $1, session_count = $2 WHERE user_id = $3 AND version = $4"};
constexpr Sql kDeleteVersion{
    "UPDATE key_backup_versions SET deleted = 1, session_count = 0 WHERE user_id = $1 AND version = $2"};
constexpr Sql kDeleteVersions{"UPDATE key_backup_versions SET deleted = 1, session_count = 0 WHERE user_id = $1"};
constexpr Sql kDeleteAllSessions{"DELETE FROM key_backup_sessions WHERE user_id = $1"};

#define SESSION_COLUMNS "room_id, session_id, first_message_index, forwarded_count, is_verified, session_data"
constexpr Sql kSessions{"SELECT " SESSION_COLUMNS
                        " FROM key_backup_sessions WHERE user_id = $1 AND version = $2 ORDER BY room_id, session_id"};
constexpr Sql kSessionsOfRoom{"SELECT " SESSION_COLUMNS
                              " FROM key_backup_sessions WHERE user_id = $1 AND version = $2 AND room_id = $3 "
                              "ORDER BY session_id"};
constexpr Sql kSession{"SELECT " SESSION_COLUMNS
                       " FROM key_backup_sessions "
                       "WHERE user_id = $1 AND version = $2 AND room_id = $3 AND session_id = $4"};
constexpr Sql kPutSession{
    "INSERT INTO key_backup_sessions (user_id, version, " SESSION_COLUMNS
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8) "
    "ON CONFLICT (user_id, version, room_id, session_id) DO UPDATE SET "
    "first_message_index = excluded.first_message_index, forwarded_count = excluded.forwarded_count, "
    "is_verified = excluded.is_verified, session_data = excluded.session_data"};
constexpr Sql kDeleteSessions{"DELETE FROM key_backup_sessions WHERE user_id = $1 AND version = $2"};
constexpr Sql kDeleteSessionsOfRoom{
    "DELETE FROM key_backup_sessions WHERE user_id = $1 AND version = $2 AND room_id = $3"};
constexpr Sql kDeleteSession{
    "DELETE FROM key_backup_sessions WHERE user_id = $1 AND version = $2 AND room_id = $3 AND session_id = $4"};

DeviceKeyRow device_key_row(const Row& r) { return {r.str(0), r.str(1), r.opt_str(2)}; }

BackupVersionRow version_row(const Row& r) {
  return {.version = r.i64(0),
          .algorithm = r.str(1),
          .auth_data = r.str(2),
          .etag = r.i64(3),
          .count = r.i64(4),
          .deleted = r.i64(5) != 0};
}

BackupSessionRow session_row(const Row& r) {
  return {.room_id = r.str(0),
          .session_id = r.str(1),
          .first_message_index = r.i64(2),
          .forwarded_count = r.i64(3),
          .is_verified = r.i64(4) != 0,
          .session_data = r.str(5)};
}

}  // namespace

// -- identity keys of devices -------------------------------------------------

std::vector<DeviceKeyRow> device_keys(Connection& c, std::string_view user) {
  return c.all(kDeviceKeys, device_key_row, user);
}

std::optional<DeviceKeyRow> device_keys_of(Connection& c, std::string_view user, std::string_view device) {
  return c.one(kDeviceKeysOf, device_key_row, user, device);
}

void put_device_keys(Connection& c, std::string_view user, std::string_view device, std::string_view keys,
                     Position pos) {
  c.put(kPutDeviceKeys, user, device, keys, pos);
}

void delete_device(Connection& c, std::string_view user, std::string_view device) {
  c.put(kDeleteDeviceKeys, user, device);
  c.put(kDeleteOneTimeKeys, user, device);
  c.put(kDeleteFallbackKeys, user, device);
  c.put(kDeleteMail, user, device);
  c.put(kDeleteSignaturesOn, user, device);
}

std::vector<std::string> devices_of(Connection& c, std::string_view user) {
  return c.all(kDevices, [](const Row& r) { return r.str(0); }, user);
}

bool device_exists(Connection& c, std::string_view user, std::string_view device) {
  return c.one_i64(kDeviceExists, user, device).has_value();
}

// -- one-time and fallback keys --------------------------------------------------

std::optional<std::string> one_time_key(Connection& c, std::string_view user, std::string_view device,
                                        std::string_view algorithm, std::string_view key_id) {
  return c.one(kOneTimeKey, [](const Row& r) { return r.str(0); }, user, device, algorithm, key_id);
}

std::int64_t last_one_time_seq(Connection& c, std::string_view user, std::string_view device) {
  return c.one_i64(kLastSeq, user, device).value_or(0);
}

void add_one_time_key(Connection& c, std::string_view user, std::string_view device, std::string_view algorithm,
                      std::string_view key_id, std::string_view json, std::int64_t seq) {
  c.put(kAddOneTimeKey, user, device, algorithm, key_id, json, seq);
}

std::optional<KeyRow> oldest_one_time_key(Connection& c, std::string_view user, std::string_view device,
                                          std::string_view algorithm) {
  return c.one(kOldest, [](const Row& r) { return KeyRow{r.str(0), r.str(1)}; }, user, device, algorithm);
}

void delete_one_time_key(Connection& c, std::string_view user, std::string_view device, std::string_view algorithm,
                         std::string_view key_id) {
  c.put(kDeleteOneTimeKey, user, device, algorithm, key_id);
}

std::vector<std::pair<std::string, std::int64_t>> one_time_key_counts(Connection& c, std::string_view user,
                                                                      std::string_view device) {
  return c.all(kCounts, [](const Row& r) { return std::pair(r.str(0), r.i64(1)); }, user, device);
}

std::optional<FallbackRow> fallback_key(Connection& c, std::string_view user, std::string_view device,
                                        std::string_view algorithm) {
  return c.one(
      kFallback, [](const Row& r) { return FallbackRow{{r.str(0), r.str(1)}, r.i64(2) != 0}; }, user, device,
      algorithm);
}

void put_fallback_key(Connection& c, std::string_view user, std::string_view device, std::string_view algorithm,
                      const KeyRow& key) {
  c.put(kPutFallback, user, device, algorithm, key.key_id, key.json);
}

void mark_fallback_used(Connection& c, std::string_view user, std::string_view device, std::string_view algorithm) {
  c.put(kFallbackUsed, user, device, algorithm);
}

std::vector<std::string> unused_fallback_algorithms(Connection& c, std::string_view user, std::string_view device) {
  return c.all(kUnusedFallbacks, [](const Row& r) { return r.str(0); }, user, device);
}

// -- cross-signing ------------------------------------------------------------------

std::vector<CrossKeyRow> cross_signing_keys(Connection& c, std::string_view user) {
  return c.all(kCrossKeys, [](const Row& r) { return CrossKeyRow{r.str(0), r.str(1)}; }, user);
}

void put_cross_signing_key(Connection& c, std::string_view user, std::string_view usage, std::string_view json,
                           Position pos) {
  c.put(kPutCrossKey, user, usage, json, pos);
}

void delete_cross_signing_key(Connection& c, std::string_view user, std::string_view usage) {
  c.put(kDeleteCrossKey, user, usage);
}

std::vector<SignatureRow> signatures_on(Connection& c, std::string_view target_user, std::string_view viewer) {
  return c.all(
      kSignatures, [](const Row& r) { return SignatureRow{r.str(0), r.str(1), r.str(2), r.str(3)}; }, target_user,
      viewer);
}

bool put_signature(Connection& c, std::string_view target_user, const SignatureRow& s) {
  const auto stored =
      c.one(kSignature, [](const Row& r) { return r.str(0); }, target_user, s.target_key, s.signer, s.signing_key_id);
  if (stored == s.signature) return false;
  c.put(kPutSignature, s.signer, target_user, s.target_key, s.signing_key_id, s.signature);
  return true;
}

void delete_signatures_on(Connection& c, std::string_view target_user, std::string_view target_key) {
  c.put(kDeleteSignaturesOn, target_user, target_key);
}

void delete_own_signatures_by(Connection& c, std::string_view user, std::string_view signing_key_id) {
  c.put(kDeleteOwnSignaturesBy, user, signing_key_id);
}

// -- device lists -------------------------------------------------------------------

void set_device_list_pos(Connection& c, std::string_view user, Position pos) { c.put(kSetListPos, user, pos); }

std::vector<ListChange> device_lists_after(Connection& c, Position after) {
  return c.all(kListsAfter, [](const Row& r) { return ListChange{r.str(0), r.i64(1)}; }, after);
}

void set_user_signature_pos(Connection& c, std::string_view signer, std::string_view target, Position pos) {
  c.put(kSetUserSignaturePos, signer, target, pos);
}

std::vector<ListChange> user_signatures_after(Connection& c, std::string_view signer, Position after) {
  return c.all(kUserSignaturesAfter, [](const Row& r) { return ListChange{r.str(0), r.i64(1)}; }, signer, after);
}

std::vector<std::int64_t> joined_rooms(Connection& c, std::string_view user) {
  return c.all(kJoinedRooms, [](const Row& r) { return r.i64(0); }, user);
}

// -- to-device messages ---------------------------------------------------------------

void add_to_device(Connection& c, std::string_view user, std::string_view device, Position pos,
                   std::string_view event) {
  c.put(kAddToDevice, user, device, pos, event);
}

std::vector<std::pair<Position, std::string>> to_device(Connection& c, std::string_view user, std::string_view device,
                                                        Position after, Position upto, std::int64_t limit) {
  return c.all(kToDevice, [](const Row& r) { return std::pair(r.i64(0), r.str(1)); }, user, device, after, upto, limit);
}

void delete_to_device(Connection& c, std::string_view user, std::string_view device, Position upto) {
  c.put(kDeleteToDevice, user, device, upto);
}

// -- key backups ------------------------------------------------------------------------

std::optional<BackupVersionRow> backup_version(Connection& c, std::string_view user, std::int64_t version) {
  return c.one(kVersion, version_row, user, version);
}

std::optional<BackupVersionRow> current_backup(Connection& c, std::string_view user) {
  return c.one(kCurrentVersion, version_row, user);
}

std::int64_t last_backup_version(Connection& c, std::string_view user) {
  return c.one_i64(kLastVersion, user).value_or(0);
}

void add_backup_version(Connection& c, std::string_view user, std::int64_t version, std::string_view algorithm,
                        std::string_view auth_data) {
  c.put(kAddVersion, user, version, algorithm, auth_data);
}

void set_backup_auth_data(Connection& c, std::string_view user, std::int64_t version, std::string_view auth_data) {
  c.put(kSetAuthData, auth_data, user, version);
}

void set_backup_counters(Connection& c, std::string_view user, const BackupVersionRow& row) {
  c.put(kSetCounters, row.etag, row.count, user, row.version);
}

void delete_backup_version(Connection& c, std::string_view user, std::int64_t version) {
  c.put(kDeleteVersion, user, version);
  c.put(kDeleteSessions, user, version);
}

void delete_all_backups(Connection& c, std::string_view user) {
  c.put(kDeleteVersions, user);
  c.put(kDeleteAllSessions, user);
}

std::vector<BackupSessionRow> backup_sessions(Connection& c, std::string_view user, std::int64_t version,
                                              std::string_view room_id, std::string_view session_id) {
  if (room_id.empty()) return c.all(kSessions, session_row, user, version);
  if (session_id.empty()) return c.all(kSessionsOfRoom, session_row, user, version, room_id);
  return c.all(kSession, session_row, user, version, room_id, session_id);
}

void put_backup_session(Connection& c, std::string_view user, std::int64_t version, const BackupSessionRow& s) {
  c.put(kPutSession, user, version, s.room_id, s.session_id, s.first_message_index, s.forwarded_count, s.is_verified,
        s.session_data);
}

std::int64_t delete_backup_sessions(Connection& c, std::string_view user, std::int64_t version,
                                    std::string_view room_id, std::string_view session_id) {
  if (room_id.empty()) return c.exec(kDeleteSessions, user, version);
  if (session_id.empty()) return c.exec(kDeleteSessionsOfRoom, user, version, room_id);
  return c.exec(kDeleteSession, user, version, room_id, session_id);
}

}  // namespace haechi::messenger::repo
