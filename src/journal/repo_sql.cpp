#include "journal/repo_sql.hpp"

#include <bit>

namespace haechi::journal::repo {
namespace {

using store::Connection;
using store::Row;
using store::Sql;

constexpr std::string_view kInit = R"sql(
-- The change feed, for other nodes: entries that are not rows of a module's own table. Key: position.
CREATE TABLE feed(
  pos BIGINT PRIMARY KEY, kind SMALLINT NOT NULL, subject TEXT NOT NULL, data TEXT NOT NULL);
-- The last position given. One row.
CREATE TABLE journal_head(id BIGINT PRIMARY KEY, pos BIGINT NOT NULL);
INSERT INTO journal_head(id, pos) VALUES(1, 0);
-- Idempotency: what was answered to which command. Key: a sequence of its own;
-- the way from a key to its row is late index 1.
CREATE TABLE commands(
  pos BIGINT PRIMARY KEY, key_hash BIGINT NOT NULL, full_key TEXT NOT NULL, answer TEXT NOT NULL,
  at_ms BIGINT NOT NULL);
)sql";

constexpr Sql kAddFeed{"INSERT INTO feed(pos, kind, subject, data) VALUES($1, $2, $3, $4)"};
constexpr Sql kReadFeed{"SELECT pos, kind, subject, data FROM feed WHERE pos >= $1 ORDER BY pos LIMIT $2"};
constexpr Sql kFirstFeed{"SELECT min(pos) FROM feed"};
constexpr Sql kTrimFeed{"DELETE FROM feed WHERE pos < $1"};
constexpr Sql kReadHead{"SELECT pos FROM journal_head WHERE id = 1"};
constexpr Sql kWriteHead{"UPDATE journal_head SET pos = $1 WHERE id = 1"};
constexpr Sql kProbe{"UPDATE journal_head SET pos = pos WHERE id = 1"};
constexpr Sql kAddCommand{"INSERT INTO commands(pos, key_hash, full_key, answer, at_ms) VALUES($1, $2, $3, $4, $5)"};
constexpr Sql kFirstCommand{"SELECT min(pos) FROM commands"};
constexpr Sql kLastCommand{"SELECT max(pos) FROM commands"};
constexpr Sql kCommandHashes{"SELECT key_hash, pos FROM commands WHERE pos > $1 ORDER BY pos"};
constexpr Sql kCommandsFrom{"SELECT pos, key_hash, full_key, answer FROM commands WHERE pos >= $1 ORDER BY pos"};
constexpr Sql kCommandAt{"SELECT pos, key_hash, full_key, answer FROM commands WHERE pos = $1"};
constexpr Sql kTrimCommands{"DELETE FROM commands WHERE pos < $1"};

Record to_record(const Row& r) { return {r.i64(0), std::bit_cast<std::uint64_t>(r.i64(1)), r.str(2), r.str(3)}; }

}  // namespace

std::span<const store::Migration> migrations() {
  static const auto all = [] {
    const auto store_steps = store::LateIndex::migrations();
    std::vector<store::Migration> v(store_steps.begin(), store_steps.end());
    v.push_back({"journal", 1, "feed and commands", kInit});
    return v;
  }();
  return all;
}

void add_feed(Connection& c, Position pos, Kind kind, std::string_view subject, std::string_view data) {
  c.exec(kAddFeed, pos, kind, subject, data);
}

std::vector<Entry> read_feed(Connection& c, Position from, std::size_t limit) {
  return c.all(
      kReadFeed, [](const Row& r) { return Entry{r.i64(0), static_cast<Kind>(r.i64(1)), r.str(2), r.str(3), nullptr}; },
      from, limit);
}

std::optional<Position> first_feed(Connection& c) { return c.one_i64(kFirstFeed); }
void trim_feed(Connection& c, Position below) { c.exec(kTrimFeed, below); }

Position read_head(Connection& c) { return c.one_i64(kReadHead).value_or(0); }
void write_head(Connection& c, Position pos) { c.exec(kWriteHead, pos); }

void probe(Connection& c) { c.exec(kProbe); }

void add_command(Connection& c, std::int64_t pos, std::uint64_t key_hash, std::string_view full_key,
                 std::string_view answer, WallMs at_ms) {
  c.exec(kAddCommand, pos, std::bit_cast<std::int64_t>(key_hash), full_key, answer, at_ms);
}

std::pair<std::int64_t, std::int64_t> command_bounds(Connection& c) {
  return {c.one_i64(kFirstCommand).value_or(0), c.one_i64(kLastCommand).value_or(0)};
}

void each_command_hash(Connection& c, std::int64_t after, const std::function<void(std::uint64_t, std::int64_t)>& f) {
  c.each(kCommandHashes, [&](const Row& r) { f(std::bit_cast<std::uint64_t>(r.i64(0)), r.i64(1)); }, after);
}

std::vector<Record> commands_from(Connection& c, std::int64_t from) { return c.all(kCommandsFrom, to_record, from); }
std::optional<Record> command_at(Connection& c, std::int64_t pos) { return c.one(kCommandAt, to_record, pos); }
void trim_commands(Connection& c, std::int64_t below) { c.exec(kTrimCommands, below); }

}  // namespace haechi::journal::repo
