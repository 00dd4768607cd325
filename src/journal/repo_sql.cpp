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

constexpr std::string_view kShared = R"sql(
-- The last idempotency record, beside the last position.
ALTER TABLE journal_head ADD COLUMN command BIGINT NOT NULL DEFAULT 0;
UPDATE journal_head SET command = (SELECT coalesce(max(pos), 0) FROM commands);
-- Which batch each running node committed last: how a commit in doubt is settled. Key: the process.
CREATE TABLE journal_nodes(node_id TEXT PRIMARY KEY, batch BIGINT NOT NULL, seen_ms BIGINT NOT NULL);
-- Where each newest batch ended, and a number that only it has: tells whether a server that took
-- over knows the same past. Key: position.
CREATE TABLE journal_marks(pos BIGINT PRIMARY KEY, mark BIGINT NOT NULL);
-- The node that moves indexes and deletes what is too old. One row.
CREATE TABLE journal_keeper(id BIGINT PRIMARY KEY, node_id TEXT NOT NULL, until_ms BIGINT NOT NULL);
INSERT INTO journal_keeper(id, node_id, until_ms) VALUES(1, '', 0);
)sql";

constexpr Sql kAddFeed{"INSERT INTO feed(pos, kind, subject, data) VALUES($1, $2, $3, $4)", store::Rows::Together};
constexpr Sql kReadFeed{"SELECT pos, kind, subject, data FROM feed WHERE pos >= $1 ORDER BY pos LIMIT $2"};
constexpr Sql kFirstFeed{"SELECT min(pos) FROM feed"};
constexpr Sql kTrimFeed{"DELETE FROM feed WHERE pos < $1"};
constexpr Sql kReadHead{"SELECT pos, command FROM journal_head WHERE id = 1"};
constexpr Sql kWriteHead{"UPDATE journal_head SET pos = $1, command = $2 WHERE id = 1"};
// The lock that makes one order of all nodes' batches. Only shared databases need it.
constexpr Sql kTakeTurn{"SELECT pos, command FROM journal_head WHERE id = 1 FOR UPDATE"};
constexpr Sql kFeedBetween{"SELECT pos, kind, subject, data FROM feed WHERE pos > $1 AND pos <= $2 ORDER BY pos"};
constexpr Sql kCommandRefs{"SELECT key_hash, pos FROM commands WHERE pos > $1 ORDER BY pos LIMIT $2"};
constexpr Sql kCommandsWithHash{"SELECT pos FROM commands WHERE pos > $1 AND key_hash = $2"};
constexpr Sql kLastBatch{"SELECT batch FROM journal_nodes WHERE node_id = $1"};
constexpr Sql kWriteBatch{
    "INSERT INTO journal_nodes(node_id, batch, seen_ms) VALUES($1, $2, $3) "
    "ON CONFLICT (node_id) DO UPDATE SET batch = excluded.batch, seen_ms = excluded.seen_ms"};
constexpr Sql kForgetNodes{"DELETE FROM journal_nodes WHERE seen_ms < $1"};
constexpr Sql kAddMark{"INSERT INTO journal_marks(pos, mark) VALUES($1, $2)"};
constexpr Sql kMarksBetween{"SELECT pos, mark FROM journal_marks WHERE pos > $1 AND pos <= $2 ORDER BY pos"};
constexpr Sql kMarkAt{"SELECT mark FROM journal_marks WHERE pos = $1"};
constexpr Sql kTrimMarks{"DELETE FROM journal_marks WHERE pos < $1"};
constexpr Sql kKeeper{"SELECT node_id, until_ms FROM journal_keeper WHERE id = 1"};
constexpr Sql kHoldKeeper{"UPDATE journal_keeper SET node_id = $1, until_ms = $2 WHERE id = 1"};
constexpr Sql kProbe{"UPDATE journal_head SET pos = pos WHERE id = 1"};
constexpr Sql kAddCommand{"INSERT INTO commands(pos, key_hash, full_key, answer, at_ms) VALUES($1, $2, $3, $4, $5)",
                          store::Rows::Together};
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
    v.push_back({"journal", 2, "several nodes", kShared});
    return v;
  }();
  return all;
}

void add_feed(Connection& c, Position pos, Kind kind, std::string_view subject, std::string_view data) {
  c.put(kAddFeed, pos, kind, subject, data);
}

std::vector<Entry> read_feed(Connection& c, Position from, std::size_t limit) {
  return c.all(
      kReadFeed, [](const Row& r) { return Entry{r.i64(0), static_cast<Kind>(r.i64(1)), r.str(2), r.str(3), nullptr}; },
      from, limit);
}

std::optional<Position> first_feed(Connection& c) { return c.one_i64(kFirstFeed); }
void trim_feed(Connection& c, Position below) { c.exec(kTrimFeed, below); }

Head read_head(Connection& c) {
  return c.one(kReadHead, [](const Row& r) { return Head{r.i64(0), r.i64(1)}; }).value_or(Head{});
}
void write_head(Connection& c, Head head) { c.put(kWriteHead, head.pos, head.command); }

void take_turn(Connection& c, Head& into) {
  c.ahead(kTakeTurn, [&into](const Row& r) { into = {r.i64(0), r.i64(1)}; });
}

void read_head_ahead(Connection& c, Head& into) {
  c.ahead(kReadHead, [&into](const Row& r) { into = {r.i64(0), r.i64(1)}; });
}

void feed_ahead(Connection& c, Position after, Position upto, std::vector<Entry>& into) {
  c.ahead(
      kFeedBetween,
      [&into](const Row& r) {
        into.push_back({r.i64(0), static_cast<Kind>(r.i64(1)), r.str(2), r.str(3), nullptr, 0, false});
      },
      after, upto);
}

void commands_ahead(Connection& c, std::int64_t after, std::size_t limit, std::vector<CommandRef>& into) {
  c.ahead(
      kCommandRefs, [&into](const Row& r) { into.push_back({std::bit_cast<std::uint64_t>(r.i64(0)), r.i64(1)}); },
      after, limit);
}

std::int64_t last_batch(Connection& c, std::string_view node_id) { return c.one_i64(kLastBatch, node_id).value_or(0); }
void write_batch(Connection& c, std::string_view node_id, std::int64_t batch, WallMs now) {
  c.put(kWriteBatch, node_id, batch, now);
}
void forget_nodes(Connection& c, WallMs silent_since) { c.exec(kForgetNodes, silent_since); }

void add_mark(Connection& c, Position pos, std::int64_t mark) { c.put(kAddMark, pos, mark); }
void marks_ahead(Connection& c, Position after, Position upto, std::vector<Mark>& into) {
  c.ahead(kMarksBetween, [&into](const Row& r) { into.push_back({r.i64(0), r.i64(1)}); }, after, upto);
}
std::int64_t mark_at(Connection& c, Position pos) { return c.one_i64(kMarkAt, pos).value_or(0); }
void trim_marks(Connection& c, Position below) { c.exec(kTrimMarks, below); }

bool hold_keeper(Connection& c, std::string_view node_id, WallMs now, Duration lease) {
  const auto [holder, until] =
      c.one(kKeeper, [](const Row& r) { return std::pair(r.str(0), r.i64(1)); }).value_or(std::pair(std::string(), 0));
  if (holder != node_id && until > now) return false;
  c.put(kHoldKeeper, node_id, now + std::chrono::duration_cast<std::chrono::milliseconds>(lease).count());
  return true;
}

std::vector<std::int64_t> commands_with_hash(Connection& c, std::uint64_t key_hash, std::int64_t after) {
  return c.all(kCommandsWithHash, [](const Row& r) { return r.i64(0); }, after, std::bit_cast<std::int64_t>(key_hash));
}

void probe(Connection& c) { c.exec(kProbe); }

void add_command(Connection& c, std::int64_t pos, std::uint64_t key_hash, std::string_view full_key,
                 std::string_view answer, WallMs at_ms) {
  c.put(kAddCommand, pos, std::bit_cast<std::int64_t>(key_hash), full_key, answer, at_ms);
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
