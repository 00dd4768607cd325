#pragma once
// All SQL of end-to-end encryption. Reads run on reader threads, writes inside
// the journal's transaction; nothing here decides anything.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "journal/journal.hpp"
#include "store/store.hpp"

namespace haechi::messenger::repo {

using journal::Position;
using store::Connection;

// -- identity keys of devices ---------------------------------------------------
struct DeviceKeyRow {
  std::string device_id;
  std::string keys;  ///< JSON as uploaded, without `unsigned`
  std::optional<std::string> display_name;
};
std::vector<DeviceKeyRow> device_keys(Connection& c, std::string_view user);
std::optional<DeviceKeyRow> device_keys_of(Connection& c, std::string_view user, std::string_view device);
void put_device_keys(Connection& c, std::string_view user, std::string_view device, std::string_view keys,
                     Position pos);
/// Everything that belongs to a device: keys, signatures on them, mail.
void delete_device(Connection& c, std::string_view user, std::string_view device);
/// Devices as identity/ knows them, with keys or without.
std::vector<std::string> devices_of(Connection& c, std::string_view user);
bool device_exists(Connection& c, std::string_view user, std::string_view device);

// -- one-time and fallback keys --------------------------------------------------
struct KeyRow {
  std::string key_id;
  std::string json;
};
std::optional<std::string> one_time_key(Connection& c, std::string_view user, std::string_view device,
                                        std::string_view algorithm, std::string_view key_id);
std::int64_t last_one_time_seq(Connection& c, std::string_view user, std::string_view device);
void add_one_time_key(Connection& c, std::string_view user, std::string_view device, std::string_view algorithm,
                      std::string_view key_id, std::string_view json, std::int64_t seq);
/// The one uploaded first.
std::optional<KeyRow> oldest_one_time_key(Connection& c, std::string_view user, std::string_view device,
                                          std::string_view algorithm);
void delete_one_time_key(Connection& c, std::string_view user, std::string_view device, std::string_view algorithm,
                         std::string_view key_id);
std::vector<std::pair<std::string, std::int64_t>> one_time_key_counts(Connection& c, std::string_view user,
                                                                      std::string_view device);
struct FallbackRow {
  KeyRow key;
  bool used = false;
};
std::optional<FallbackRow> fallback_key(Connection& c, std::string_view user, std::string_view device,
                                        std::string_view algorithm);
void put_fallback_key(Connection& c, std::string_view user, std::string_view device, std::string_view algorithm,
                      const KeyRow& key);
void mark_fallback_used(Connection& c, std::string_view user, std::string_view device, std::string_view algorithm);
std::vector<std::string> unused_fallback_algorithms(Connection& c, std::string_view user, std::string_view device);

// -- cross-signing ------------------------------------------------------------------
struct CrossKeyRow {
  std::string usage;  ///< master, self_signing, user_signing
  std::string json;
};
std::vector<CrossKeyRow> cross_signing_keys(Connection& c, std::string_view user);
void put_cross_signing_key(Connection& c, std::string_view user, std::string_view usage, std::string_view json,
                           Position pos);
void delete_cross_signing_key(Connection& c, std::string_view user, std::string_view usage);

struct SignatureRow {
  std::string target_key;  ///< a device id or a public key
  std::string signer;
  std::string signing_key_id;  ///< "ed25519:…"
  std::string signature;
};
/// Those that `viewer` may see: made by the target's owner or by the viewer.
std::vector<SignatureRow> signatures_on(Connection& c, std::string_view target_user, std::string_view viewer);
/// False when this very signature was there.
bool put_signature(Connection& c, std::string_view target_user, const SignatureRow& signature);
void delete_signatures_on(Connection& c, std::string_view target_user, std::string_view target_key);
/// Those that the user made on their own devices and keys with this key.
void delete_own_signatures_by(Connection& c, std::string_view user, std::string_view signing_key_id);

// -- device lists -------------------------------------------------------------------
struct ListChange {
  std::string user;
  Position pos = 0;
};
void set_device_list_pos(Connection& c, std::string_view user, Position pos);
std::vector<ListChange> device_lists_after(Connection& c, Position after);
void set_user_signature_pos(Connection& c, std::string_view signer, std::string_view target, Position pos);
/// Whose keys `signer` has signed since; only the signer is told.
std::vector<ListChange> user_signatures_after(Connection& c, std::string_view signer, Position after);
/// Numbers of the rooms that the user is joined to.
std::vector<std::int64_t> joined_rooms(Connection& c, std::string_view user);

// -- to-device messages ---------------------------------------------------------------
void add_to_device(Connection& c, std::string_view user, std::string_view device, Position pos, std::string_view event);
std::vector<std::pair<Position, std::string>> to_device(Connection& c, std::string_view user, std::string_view device,
                                                        Position after, Position upto, std::int64_t limit);
void delete_to_device(Connection& c, std::string_view user, std::string_view device, Position upto);

// -- key backups ------------------------------------------------------------------------
struct BackupVersionRow {
  std::int64_t version = 0;
  std::string algorithm;
  std::string auth_data;
  std::int64_t etag = 0;
  std::int64_t count = 0;
  bool deleted = false;
};
std::optional<BackupVersionRow> backup_version(Connection& c, std::string_view user, std::int64_t version);
/// The newest that is not deleted.
std::optional<BackupVersionRow> current_backup(Connection& c, std::string_view user);
/// Counts deleted ones: a number is never given twice.
std::int64_t last_backup_version(Connection& c, std::string_view user);
void add_backup_version(Connection& c, std::string_view user, std::int64_t version, std::string_view algorithm,
                        std::string_view auth_data);
void set_backup_auth_data(Connection& c, std::string_view user, std::int64_t version, std::string_view auth_data);
void set_backup_counters(Connection& c, std::string_view user, const BackupVersionRow& row);
/// The number stays taken; its sessions go.
void delete_backup_version(Connection& c, std::string_view user, std::int64_t version);
void delete_all_backups(Connection& c, std::string_view user);

struct BackupSessionRow {
  std::string room_id;
  std::string session_id;
  std::int64_t first_message_index = 0;
  std::int64_t forwarded_count = 0;
  bool is_verified = false;
  std::string session_data;  ///< JSON object
};
/// `room_id` empty: of all rooms; `session_id` empty: all of the room.
std::vector<BackupSessionRow> backup_sessions(Connection& c, std::string_view user, std::int64_t version,
                                              std::string_view room_id, std::string_view session_id);
void put_backup_session(Connection& c, std::string_view user, std::int64_t version, const BackupSessionRow& session);
/// How many went.
std::int64_t delete_backup_sessions(Connection& c, std::string_view user, std::int64_t version,
                                    std::string_view room_id, std::string_view session_id);

}  // namespace haechi::messenger::repo
