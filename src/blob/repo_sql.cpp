#include <array>

#include "blob/repo.hpp"

namespace haechi::blob::repo {
namespace {

constexpr store::Migration kMigrations[] = {{"blob", 1, "media", R"sql(
-- What users know: one row a media id.
CREATE TABLE media (
  origin TEXT NOT NULL,
  media_id TEXT NOT NULL,
  owner TEXT NOT NULL,
  state SMALLINT NOT NULL,
  sha256 TEXT NOT NULL,
  bytes BIGINT NOT NULL,
  content_type TEXT NOT NULL,
  upload_name TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  expires_ms BIGINT NOT NULL,
  PRIMARY KEY (origin, media_id)
);
CREATE INDEX media_by_owner ON media (owner, created_ms, media_id);
CREATE INDEX media_by_content ON media (sha256);
CREATE INDEX media_by_expiry ON media (expires_ms) WHERE state = 0;
CREATE INDEX media_by_age ON media (created_ms);
-- What is stored: one row a content, with how many records and thumbnails use it.
CREATE TABLE blobs (
  sha256 TEXT NOT NULL PRIMARY KEY,
  bytes BIGINT NOT NULL,
  refs BIGINT NOT NULL,
  quarantined SMALLINT NOT NULL,
  created_ms BIGINT NOT NULL
);
CREATE INDEX blobs_unreferenced ON blobs (sha256) WHERE refs = 0;
-- Small versions that were made: from which content, at which size, to which content.
CREATE TABLE thumbnails (
  sha256 TEXT NOT NULL,
  width INTEGER NOT NULL,
  height INTEGER NOT NULL,
  method SMALLINT NOT NULL,
  animated SMALLINT NOT NULL,
  result_sha256 TEXT NOT NULL,
  result_bytes BIGINT NOT NULL,
  content_type TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  PRIMARY KEY (sha256, width, height, method, animated)
);
-- What a user's records add up to.
CREATE TABLE media_usage (
  owner TEXT NOT NULL PRIMARY KEY,
  bytes BIGINT NOT NULL,
  items BIGINT NOT NULL,
  pending BIGINT NOT NULL
);
)sql"},
                                            {"blob", 2, "contents for all nodes", R"sql(
-- Contents that every node can read: where each is kept. One row a content.
CREATE TABLE blob_contents (
  sha256 TEXT NOT NULL PRIMARY KEY,
  bytes BIGINT NOT NULL,
  keeper TEXT NOT NULL,
  name TEXT NOT NULL,
  segment_sums BYTEA NOT NULL,
  touched_ms BIGINT NOT NULL,
  damaged SMALLINT NOT NULL
);
-- Names under which something is being written, or is to be removed: touched_ms is -1 then.
CREATE TABLE blob_names (
  name TEXT NOT NULL PRIMARY KEY,
  keeper TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  touched_ms BIGINT NOT NULL
);
CREATE INDEX blob_names_by_age ON blob_names (touched_ms);
-- The bytes of contents that the database itself keeps. Key: the name, and the piece's number.
CREATE TABLE blob_rows (
  name TEXT NOT NULL,
  number BIGINT NOT NULL,
  bytes BYTEA NOT NULL,
  PRIMARY KEY (name, number)
);
)sql"}};

#define HAECHI_MEDIA_COLUMNS \
  "origin, media_id, owner, state, sha256, bytes, content_type, upload_name, created_ms, expires_ms"

constexpr store::Sql kFind{"SELECT " HAECHI_MEDIA_COLUMNS " FROM media WHERE origin = $1 AND media_id = $2"};
constexpr store::Sql kInsert{"INSERT INTO media (" HAECHI_MEDIA_COLUMNS
                             ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"};
constexpr store::Sql kComplete{
    "UPDATE media SET state = $3, sha256 = $4, bytes = $5, content_type = $6, upload_name = $7, expires_ms = 0 "
    "WHERE origin = $1 AND media_id = $2"};
constexpr store::Sql kErase{"DELETE FROM media WHERE origin = $1 AND media_id = $2"};
constexpr store::Sql kSetState{"UPDATE media SET state = $3 WHERE sha256 = $1 AND state = $2"};
constexpr store::Sql kWithContent{"SELECT origin, media_id FROM media WHERE sha256 = $1"};
constexpr store::Sql kList{"SELECT " HAECHI_MEDIA_COLUMNS
                           " FROM media WHERE owner = $1 AND (created_ms < $2 OR (created_ms = $2 AND media_id < $3)) "
                           "ORDER BY created_ms DESC, media_id DESC LIMIT $4"};
constexpr store::Sql kExpired{"SELECT origin, media_id FROM media WHERE state = 0 AND expires_ms <= $1 LIMIT $2"};
constexpr store::Sql kBefore{"SELECT origin, media_id FROM media WHERE created_ms < $1 ORDER BY created_ms LIMIT $2"};
constexpr store::Sql kBeforeOfUser{
    "SELECT origin, media_id FROM media WHERE owner = $3 AND created_ms < $1 ORDER BY created_ms LIMIT $2"};

constexpr store::Sql kUsage{"SELECT bytes, items, pending FROM media_usage WHERE owner = $1"};
constexpr store::Sql kAddUsage{
    "INSERT INTO media_usage (owner, bytes, items, pending) VALUES ($1, $2, $3, $4) ON CONFLICT (owner) DO UPDATE SET "
    "bytes = media_usage.bytes + excluded.bytes, items = media_usage.items + excluded.items, "
    "pending = media_usage.pending + excluded.pending"};

constexpr store::Sql kBlob{"SELECT bytes, refs, quarantined FROM blobs WHERE sha256 = $1"};
constexpr store::Sql kAddRef{
    "INSERT INTO blobs (sha256, bytes, refs, quarantined, created_ms) VALUES ($1, $2, 1, 0, $3) "
    "ON CONFLICT (sha256) DO UPDATE SET refs = blobs.refs + 1"};
constexpr store::Sql kDropRef{"UPDATE blobs SET refs = refs - 1 WHERE sha256 = $1 AND refs > 0"};
constexpr store::Sql kSetQuarantined{"UPDATE blobs SET quarantined = $2 WHERE sha256 = $1"};
constexpr store::Sql kEraseBlob{"DELETE FROM blobs WHERE sha256 = $1 AND refs = 0"};
constexpr store::Sql kUnreferenced{"SELECT sha256 FROM blobs WHERE refs = 0 LIMIT $1"};
constexpr store::Sql kBlobsAfter{"SELECT sha256 FROM blobs WHERE sha256 > $1 ORDER BY sha256 LIMIT $2"};

constexpr store::Sql kThumbnail{
    "SELECT result_sha256, result_bytes, content_type FROM thumbnails "
    "WHERE sha256 = $1 AND width = $2 AND height = $3 AND method = $4 AND animated = $5"};
constexpr store::Sql kInsertThumbnail{
    "INSERT INTO thumbnails (sha256, width, height, method, animated, result_sha256, result_bytes, content_type, "
    "created_ms) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (sha256, width, height, method, animated) DO NOTHING"};
constexpr store::Sql kEraseThumbnail{
    "DELETE FROM thumbnails WHERE sha256 = $1 AND width = $2 AND height = $3 AND method = $4 AND animated = $5"};
constexpr store::Sql kThumbnailResults{"SELECT result_sha256 FROM thumbnails WHERE sha256 = $1"};
constexpr store::Sql kEraseThumbnails{"DELETE FROM thumbnails WHERE sha256 = $1"};

Sha256 read_id(std::string_view hex) {
  const auto id = sha256_from_hex(hex);
  if (!id) throw store::SqlError("a stored checksum is not one");
  return *id;
}

Record read_record(const store::Row& r) {
  Record out;
  out.id = {r.str(0), r.str(1)};
  out.owner = r.str(2);
  out.state = static_cast<State>(r.i64(3));
  if (!r.text(4).empty()) out.sha256 = read_id(r.text(4));
  out.bytes = static_cast<std::uint64_t>(r.i64(5));
  out.content_type = r.str(6);
  out.upload_name = r.str(7);
  out.created_ms = r.i64(8);
  out.expires_ms = r.i64(9);
  return out;
}

MediaId read_media_id(const store::Row& r) { return {r.str(0), r.str(1)}; }

}  // namespace

std::span<const store::Migration> migrations() { return kMigrations; }

std::optional<Record> find(store::Connection& c, const MediaId& id) {
  return c.one(kFind, read_record, id.origin, id.id);
}

void insert(store::Connection& c, const Record& m) {
  c.put(kInsert, m.id.origin, m.id.id, m.owner, static_cast<int>(m.state),
        m.state == State::Pending ? std::string() : to_hex(m.sha256), m.bytes, m.content_type, m.upload_name,
        m.created_ms, m.expires_ms);
}

void complete(store::Connection& c, const Record& m) {
  c.put(kComplete, m.id.origin, m.id.id, static_cast<int>(m.state), to_hex(m.sha256), m.bytes, m.content_type,
        m.upload_name);
}

void erase(store::Connection& c, const MediaId& id) { c.put(kErase, id.origin, id.id); }

void set_state_of_content(store::Connection& c, const Sha256& id, State from, State to) {
  c.put(kSetState, to_hex(id), static_cast<int>(from), static_cast<int>(to));
}

std::vector<MediaId> with_content(store::Connection& c, const Sha256& id) {
  return c.all(kWithContent, read_media_id, to_hex(id));
}

std::vector<Record> list(store::Connection& c, std::string_view user, std::size_t limit, WallMs before_ms,
                         std::string_view before_id) {
  return c.all(kList, read_record, user, before_ms, before_id, limit);
}

std::vector<MediaId> expired(store::Connection& c, WallMs now, std::size_t limit) {
  return c.all(kExpired, read_media_id, now, limit);
}

std::vector<MediaId> created_before(store::Connection& c, WallMs before, const std::optional<std::string>& user,
                                    std::size_t limit) {
  if (user) return c.all(kBeforeOfUser, read_media_id, before, limit, *user);
  return c.all(kBefore, read_media_id, before, limit);
}

Usage usage(store::Connection& c, std::string_view user) {
  const auto read = [](const store::Row& r) {
    return Usage{static_cast<std::uint64_t>(r.i64(0)), static_cast<std::uint64_t>(r.i64(1)),
                 static_cast<std::uint64_t>(r.i64(2))};
  };
  return c.one(kUsage, read, user).value_or(Usage{});
}

void add_usage(store::Connection& c, std::string_view user, std::int64_t bytes, std::int64_t items,
               std::int64_t pending) {
  c.put(kAddUsage, user, bytes, items, pending);
}

std::optional<Blob> blob(store::Connection& c, const Sha256& id) {
  const auto read = [](const store::Row& r) {
    return Blob{static_cast<std::uint64_t>(r.i64(0)), r.i64(1), r.i64(2) != 0};
  };
  return c.one(kBlob, read, to_hex(id));
}

void add_ref(store::Connection& c, const Sha256& id, std::uint64_t bytes, WallMs now) {
  c.put(kAddRef, to_hex(id), bytes, now);
}

bool drop_ref(store::Connection& c, const Sha256& id) {
  c.put(kDropRef, to_hex(id));
  const auto left = blob(c, id);
  return left && left->refs == 0;
}

void set_quarantined(store::Connection& c, const Sha256& id, bool on) {
  c.put(kSetQuarantined, to_hex(id), on ? 1 : 0);
}

bool erase_unreferenced(store::Connection& c, const Sha256& id) { return c.exec(kEraseBlob, to_hex(id)) > 0; }

std::vector<Sha256> unreferenced(store::Connection& c, std::size_t limit) {
  return c.all(kUnreferenced, [](const store::Row& r) { return read_id(r.text(0)); }, limit);
}

std::vector<Sha256> blobs_after(store::Connection& c, const Sha256& id, std::size_t limit) {
  return c.all(kBlobsAfter, [](const store::Row& r) { return read_id(r.text(0)); }, to_hex(id), limit);
}

std::optional<ThumbnailRow> thumbnail(store::Connection& c, const Sha256& source, const ThumbnailSpec& s) {
  const auto read = [](const store::Row& r) {
    return ThumbnailRow{read_id(r.text(0)), static_cast<std::uint64_t>(r.i64(1)), r.str(2)};
  };
  return c.one(kThumbnail, read, to_hex(source), s.width, s.height, static_cast<int>(s.method),
               static_cast<int>(s.animated));
}

bool insert_thumbnail(store::Connection& c, const Sha256& source, const ThumbnailSpec& s, const ThumbnailRow& row,
                      WallMs now) {
  return c.exec(kInsertThumbnail, to_hex(source), s.width, s.height, static_cast<int>(s.method),
                static_cast<int>(s.animated), to_hex(row.result), row.bytes, row.content_type, now) > 0;
}

void erase_thumbnail(store::Connection& c, const Sha256& source, const ThumbnailSpec& s) {
  c.put(kEraseThumbnail, to_hex(source), s.width, s.height, static_cast<int>(s.method), static_cast<int>(s.animated));
}

std::vector<Sha256> erase_thumbnails(store::Connection& c, const Sha256& source) {
  const auto results = c.all(kThumbnailResults, [](const store::Row& r) { return read_id(r.text(0)); }, to_hex(source));
  c.put(kEraseThumbnails, to_hex(source));
  std::vector<Sha256> unused;
  for (const auto& id : results) {
    if (drop_ref(c, id)) unused.push_back(id);
  }
  return unused;
}

}  // namespace haechi::blob::repo
