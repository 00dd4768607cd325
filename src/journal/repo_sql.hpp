#pragma once
// All SQL of the journal.

#include "journal/journal.hpp"

namespace haechi::journal::repo {

std::span<const store::Migration> migrations();

struct Record {
  std::int64_t pos = 0;
  std::uint64_t key_hash = 0;
  std::string full_key;
  std::string answer;
};

void add_feed(store::Connection& c, Position pos, Kind kind, std::string_view subject, std::string_view data);
std::vector<Entry> read_feed(store::Connection& c, Position from, std::size_t limit);
std::optional<Position> first_feed(store::Connection& c);
void trim_feed(store::Connection& c, Position below);

/// The newest position, and the newest idempotency record's.
struct Head {
  Position pos = 0;
  std::int64_t command = 0;
  bool operator==(const Head&) const = default;
};
Head read_head(store::Connection& c);
void write_head(store::Connection& c, Head head);

// Shared databases.
/// Waits for the turn, which lasts until the end of the transaction. As Connection::ahead.
void take_turn(store::Connection& c, Head& into);
void read_head_ahead(store::Connection& c, Head& into);
/// Rows with after < pos <= upto. As Connection::ahead.
void feed_ahead(store::Connection& c, Position after, Position upto, std::vector<Entry>& into);
struct CommandRef {
  std::uint64_t key_hash = 0;
  std::int64_t pos = 0;
};
void commands_ahead(store::Connection& c, std::int64_t after, std::size_t limit, std::vector<CommandRef>& into);
/// Which of a node's batches was committed last; 0: none.
std::int64_t last_batch(store::Connection& c, std::string_view node_id);
void write_batch(store::Connection& c, std::string_view node_id, std::int64_t batch, WallMs now);
/// Where a batch ended, and a number that only it has.
struct Mark {
  Position pos = 0;
  std::int64_t mark = 0;
};
/// Of the batches that ended at after < pos <= upto, in order. As Connection::ahead.
void marks_ahead(store::Connection& c, Position after, Position upto, std::vector<Mark>& into);
/// 0: none is known.
std::int64_t mark_at(store::Connection& c, Position pos);
void add_mark(store::Connection& c, Position pos, std::int64_t mark);
void trim_marks(store::Connection& c, Position below);
void forget_nodes(store::Connection& c, WallMs silent_since);
/// Whether this node may do the upkeep; takes it over from a keeper that was not seen for `lease`.
bool hold_keeper(store::Connection& c, std::string_view node_id, WallMs now, Duration lease);
/// Writes without a change: fails as long as the store does.
void probe(store::Connection& c);

void add_command(store::Connection& c, std::int64_t pos, std::uint64_t key_hash, std::string_view full_key,
                 std::string_view answer, WallMs at_ms);
/// Lowest and highest position; 0 and 0 when there is none.
std::pair<std::int64_t, std::int64_t> command_bounds(store::Connection& c);
std::vector<std::int64_t> commands_with_hash(store::Connection& c, std::uint64_t key_hash, std::int64_t after);
void each_command_hash(store::Connection& c, std::int64_t after,
                       const std::function<void(std::uint64_t key_hash, std::int64_t pos)>& f);
std::vector<Record> commands_from(store::Connection& c, std::int64_t from);
std::optional<Record> command_at(store::Connection& c, std::int64_t pos);
void trim_commands(store::Connection& c, std::int64_t below);

}  // namespace haechi::journal::repo
