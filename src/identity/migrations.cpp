#include "identity/identity.hpp"

namespace haechi::identity {
namespace {

constexpr std::string_view kInit = R"sql(
-- One row for each account that ever was, in order of creation: a name is never
-- given twice, so rows are never deleted. leave_pending: deactivated, rooms not yet left.
CREATE TABLE users (
  num BIGINT NOT NULL PRIMARY KEY,
  user_id TEXT NOT NULL UNIQUE,
  kind SMALLINT NOT NULL,
  password_hash TEXT,
  created_ms BIGINT NOT NULL,
  admin SMALLINT NOT NULL DEFAULT 0,
  deactivated SMALLINT NOT NULL DEFAULT 0,
  locked SMALLINT NOT NULL DEFAULT 0,
  suspended SMALLINT NOT NULL DEFAULT 0,
  erased SMALLINT NOT NULL DEFAULT 0,
  leave_pending SMALLINT NOT NULL DEFAULT 0
);
CREATE INDEX users_leave_pending ON users (num) WHERE leave_pending = 1;

-- Where somebody is logged in. The keys of a device are the messenger's.
CREATE TABLE devices (
  user_id TEXT NOT NULL,
  device_id TEXT NOT NULL,
  display_name TEXT,
  created_ms BIGINT NOT NULL,
  last_seen_ms BIGINT,
  last_seen_ip TEXT,
  PRIMARY KEY (user_id, device_id)
) /*clustered*/;

-- One log-in of a device; id is the feed position at which it began. generation
-- is that of the newest token that the client has shown to have.
CREATE TABLE sessions (
  id BIGINT NOT NULL PRIMARY KEY,
  user_id TEXT NOT NULL,
  device_id TEXT NOT NULL,
  generation BIGINT NOT NULL,
  created_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX sessions_device ON sessions (user_id, device_id);

-- Access (kind 0) and refresh (kind 1) tokens by their SHA-256. Each refresh makes
-- the next generation. Expired access tokens stay while their session lives,
-- so that their owner hears of a soft log-out.
CREATE TABLE session_tokens (
  hash BYTEA NOT NULL PRIMARY KEY,
  session_id BIGINT NOT NULL,
  kind SMALLINT NOT NULL,
  generation BIGINT NOT NULL,
  expires_ms BIGINT
) /*clustered*/;
CREATE INDEX session_tokens_session ON session_tokens (session_id);

-- What an operator hands out so that people may register. Null: without end.
CREATE TABLE registration_tokens (
  token TEXT NOT NULL PRIMARY KEY,
  uses_allowed BIGINT,
  completed BIGINT NOT NULL,
  expires_ms BIGINT,
  created_ms BIGINT NOT NULL
);

-- Tokens for m.login.token by their SHA-256: each logs in once.
CREATE TABLE login_tokens (
  hash BYTEA NOT NULL PRIMARY KEY,
  user_id TEXT NOT NULL,
  expires_ms BIGINT NOT NULL
) /*clustered*/;
CREATE INDEX login_tokens_user ON login_tokens (user_id);
CREATE INDEX login_tokens_expires ON login_tokens (expires_ms);

-- Tokens that prove to a third party who somebody is, by their SHA-256.
CREATE TABLE openid_tokens (
  hash BYTEA NOT NULL PRIMARY KEY,
  user_id TEXT NOT NULL,
  expires_ms BIGINT NOT NULL
) /*clustered*/;
CREATE INDEX openid_tokens_user ON openid_tokens (user_id);
CREATE INDEX openid_tokens_expires ON openid_tokens (expires_ms);
)sql";

constexpr std::string_view kHandOvers = R"sql(
-- What a client began on one node and may go on with on another. Key: the hash of a name that the
-- client has; sealed: a text encrypted under that name.
CREATE TABLE hand_overs (
  hash BYTEA NOT NULL PRIMARY KEY,
  sealed BYTEA NOT NULL,
  expires_ms BIGINT NOT NULL
) /*clustered*/;
CREATE INDEX hand_overs_expires ON hand_overs (expires_ms);
)sql";

constexpr store::Migration kMigrations[] = {
    {"identity", 1, "accounts, devices, tokens", kInit},
    {"identity", 2, "steps of authentication on several nodes", kHandOvers},
};

}  // namespace

std::span<const store::Migration> Identity::migrations() { return kMigrations; }

}  // namespace haechi::identity
