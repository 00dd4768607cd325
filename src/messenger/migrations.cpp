#include "messenger/migrations.hpp"

namespace haechi::messenger {
namespace {

// Rooms and their events. `events` is written by position only; the ways from an
// event id and from a room to positions are late indexes (store/late_index.hpp).
constexpr std::string_view kRooms = R"sql(
-- Every room this server has. Key: num, small and never reused.
CREATE TABLE rooms (
  num BIGINT PRIMARY KEY,
  room_id TEXT NOT NULL UNIQUE,
  version TEXT NOT NULL,
  creator TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  published SMALLINT NOT NULL DEFAULT 0,
  blocked SMALLINT NOT NULL DEFAULT 0
);

-- Every event, in the order of commit. Key: the journal's position; the row is
-- its own change-feed entry. pdu: canonical JSON with hashes, redacted in place
-- once a redaction applies. extra: what only the server knows, as JSON.
CREATE TABLE events (
  pos BIGINT PRIMARY KEY,
  room_num BIGINT NOT NULL,
  event_id TEXT NOT NULL,
  pdu TEXT NOT NULL,
  extra TEXT,
  redacted_by TEXT
);

-- Each time a piece of state was set. Key: room, type, state_key, pos.
CREATE TABLE room_state_log (
  room_num BIGINT NOT NULL,
  type TEXT NOT NULL,
  state_key TEXT NOT NULL,
  pos BIGINT NOT NULL,
  PRIMARY KEY (room_num, type, state_key, pos)
) /*clustered*/;
CREATE INDEX room_state_log_pos ON room_state_log (room_num, pos);

-- What state is now. Key: room, type, state_key.
CREATE TABLE room_state (
  room_num BIGINT NOT NULL,
  type TEXT NOT NULL,
  state_key TEXT NOT NULL,
  pos BIGINT NOT NULL,
  PRIMARY KEY (room_num, type, state_key)
) /*clustered*/;

-- Each user's newest membership of each room. Key: user, room.
CREATE TABLE memberships (
  user_id TEXT NOT NULL,
  room_num BIGINT NOT NULL,
  membership TEXT NOT NULL,
  pos BIGINT NOT NULL,
  forgotten SMALLINT NOT NULL DEFAULT 0,
  PRIMARY KEY (user_id, room_num)
) /*clustered*/;
CREATE INDEX memberships_room ON memberships (room_num, membership);

-- Which event relates to which. Key: parent, child's position.
CREATE TABLE relations (
  parent_id TEXT NOT NULL,
  pos BIGINT NOT NULL,
  room_num BIGINT NOT NULL,
  rel_type TEXT NOT NULL,
  type TEXT NOT NULL,
  sender TEXT NOT NULL,
  relation_key TEXT NOT NULL,
  PRIMARY KEY (parent_id, pos)
) /*clustered*/;
-- Threads of a room, newest activity first. Key: room, root.
CREATE TABLE threads (
  room_num BIGINT NOT NULL,
  root_id TEXT NOT NULL,
  latest_pos BIGINT NOT NULL,
  PRIMARY KEY (room_num, root_id)
) /*clustered*/;

-- The newest receipt per room, user, type and thread ('' unthreaded).
CREATE TABLE receipts (
  room_num BIGINT NOT NULL,
  user_id TEXT NOT NULL,
  type TEXT NOT NULL,
  thread_id TEXT NOT NULL,
  event_id TEXT NOT NULL,
  event_pos BIGINT NOT NULL,
  ts BIGINT NOT NULL,
  pos BIGINT NOT NULL,
  PRIMARY KEY (room_num, user_id, type, thread_id)
) /*clustered*/;
)sql";

constexpr std::string_view kUsers = R"sql(
-- Profiles; fields holds every field but displayname and avatar_url as a JSON object.
CREATE TABLE profiles (
  user_id TEXT PRIMARY KEY,
  displayname TEXT,
  avatar_url TEXT,
  fields TEXT NOT NULL DEFAULT '{}',
  pos BIGINT NOT NULL
);

-- Account data; room_id '' is global. content NULL: deleted.
CREATE TABLE account_data (
  user_id TEXT NOT NULL,
  room_id TEXT NOT NULL,
  type TEXT NOT NULL,
  content TEXT,
  pos BIGINT NOT NULL,
  PRIMARY KEY (user_id, room_id, type)
) /*clustered*/;

-- Filters as they were given. Key: user, id (from 1).
CREATE TABLE filters (
  user_id TEXT NOT NULL,
  filter_id BIGINT NOT NULL,
  definition TEXT NOT NULL,
  PRIMARY KEY (user_id, filter_id)
) /*clustered*/;

-- Push rules: a user's own rules and changed defaults, as JSON.
CREATE TABLE push_rules (
  user_id TEXT PRIMARY KEY,
  rules TEXT NOT NULL,
  pos BIGINT NOT NULL
);

-- Where to push. Key: user, app, pushkey.
CREATE TABLE pushers (
  user_id TEXT NOT NULL,
  app_id TEXT NOT NULL,
  pushkey TEXT NOT NULL,
  device_id TEXT NOT NULL,
  definition TEXT NOT NULL,
  pos BIGINT NOT NULL,
  PRIMARY KEY (user_id, app_id, pushkey)
);

-- Presence as it was last set; busy values may be lost with the node.
CREATE TABLE presence (
  user_id TEXT PRIMARY KEY,
  presence TEXT NOT NULL,
  status_msg TEXT,
  last_active_ms BIGINT NOT NULL
);
)sql";

constexpr std::string_view kKeys = R"sql(
-- Identity keys of devices. Key: user, device.
CREATE TABLE device_keys (
  user_id TEXT NOT NULL,
  device_id TEXT NOT NULL,
  keys TEXT NOT NULL,
  pos BIGINT NOT NULL,
  PRIMARY KEY (user_id, device_id)
);

-- One-time keys in the order of upload; claimed by deletion.
CREATE TABLE one_time_keys (
  user_id TEXT NOT NULL,
  device_id TEXT NOT NULL,
  algorithm TEXT NOT NULL,
  key_id TEXT NOT NULL,
  key_json TEXT NOT NULL,
  seq BIGINT NOT NULL,
  PRIMARY KEY (user_id, device_id, algorithm, key_id)
);

-- Fallback keys, one per algorithm.
CREATE TABLE fallback_keys (
  user_id TEXT NOT NULL,
  device_id TEXT NOT NULL,
  algorithm TEXT NOT NULL,
  key_id TEXT NOT NULL,
  key_json TEXT NOT NULL,
  used SMALLINT NOT NULL DEFAULT 0,
  PRIMARY KEY (user_id, device_id, algorithm)
);

-- Cross-signing keys: usage is master, self_signing or user_signing.
CREATE TABLE cross_signing_keys (
  user_id TEXT NOT NULL,
  usage TEXT NOT NULL,
  key_json TEXT NOT NULL,
  pos BIGINT NOT NULL,
  PRIMARY KEY (user_id, usage)
);

-- Signatures that users made on devices and keys: signer, target, key id of the signature.
CREATE TABLE key_signatures (
  signer TEXT NOT NULL,
  target_user TEXT NOT NULL,
  target_key TEXT NOT NULL,
  signing_key_id TEXT NOT NULL,
  signature TEXT NOT NULL,
  PRIMARY KEY (target_user, target_key, signer, signing_key_id)
);

-- When each user's device list last changed.
CREATE TABLE device_lists (
  user_id TEXT PRIMARY KEY,
  pos BIGINT NOT NULL
);
CREATE INDEX device_lists_pos ON device_lists (pos);

-- Messages to devices, kept until the device comes back with the next token.
CREATE TABLE to_device (
  user_id TEXT NOT NULL,
  device_id TEXT NOT NULL,
  pos BIGINT NOT NULL,
  event TEXT NOT NULL,
  PRIMARY KEY (user_id, device_id, pos)
) /*clustered*/;

-- Key backups.
CREATE TABLE key_backup_versions (
  user_id TEXT NOT NULL,
  version BIGINT NOT NULL,
  algorithm TEXT NOT NULL,
  auth_data TEXT NOT NULL,
  etag BIGINT NOT NULL DEFAULT 0,
  deleted SMALLINT NOT NULL DEFAULT 0,
  PRIMARY KEY (user_id, version)
);
CREATE TABLE key_backup_sessions (
  user_id TEXT NOT NULL,
  version BIGINT NOT NULL,
  room_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  first_message_index BIGINT NOT NULL,
  forwarded_count BIGINT NOT NULL,
  is_verified SMALLINT NOT NULL,
  session_data TEXT NOT NULL,
  PRIMARY KEY (user_id, version, room_id, session_id)
);
)sql";

constexpr std::string_view kDirectory = R"sql(
-- Room aliases. Key: alias.
CREATE TABLE aliases (
  alias TEXT PRIMARY KEY,
  room_num BIGINT NOT NULL,
  creator TEXT NOT NULL,
  created_ms BIGINT NOT NULL
);
CREATE INDEX aliases_room ON aliases (room_num);

-- What people reported. Key: id.
CREATE TABLE reports (
  id BIGINT PRIMARY KEY,
  reporter TEXT NOT NULL,
  room_id TEXT,
  event_id TEXT,
  user_id TEXT,
  score BIGINT,
  reason TEXT,
  at_ms BIGINT NOT NULL
);
)sql";

constexpr std::string_view kKeys2 = R"sql(
-- When a user last signed another user's key; only the signer is told.
CREATE TABLE user_signature_lists (
  signer TEXT NOT NULL,
  target_user TEXT NOT NULL,
  pos BIGINT NOT NULL,
  PRIMARY KEY (signer, target_user)
);
-- How many sessions a backup holds: counting them at each upload would read them all.
ALTER TABLE key_backup_versions ADD COLUMN session_count BIGINT NOT NULL DEFAULT 0;
)sql";

constexpr std::string_view kPush2 = R"sql(
-- Setting a pusher takes its key from whoever had it before.
CREATE INDEX pushers_key ON pushers (pushkey, app_id);
)sql";

constexpr std::string_view kRoomNumbers = R"sql(
-- The next free number of a room, where several nodes take them from here in blocks. One row.
CREATE TABLE room_numbers (
  id BIGINT PRIMARY KEY,
  next BIGINT NOT NULL
);
INSERT INTO room_numbers (id, next) VALUES (1, 1);
)sql";

constexpr store::Migration kSteps[] = {
    {"messenger", 1, "rooms and events", kRooms},
    {"messenger", 2, "users", kUsers},
    {"messenger", 3, "keys", kKeys},
    {"messenger", 4, "directory and reports", kDirectory},
    {"messenger", 50, "signatures on others, sizes of backups", kKeys2},
    {"messenger", 60, "pushers by key", kPush2},
    {"messenger", 70, "numbers of rooms", kRoomNumbers},
};

}  // namespace

std::span<const store::Migration> migrations() { return kSteps; }

}  // namespace haechi::messenger
