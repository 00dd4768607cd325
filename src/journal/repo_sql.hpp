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

Position read_head(store::Connection& c);
void write_head(store::Connection& c, Position pos);
/// Writes without a change: fails as long as the store does.
void probe(store::Connection& c);

void add_command(store::Connection& c, std::int64_t pos, std::uint64_t key_hash, std::string_view full_key,
                 std::string_view answer, WallMs at_ms);
/// Lowest and highest position; 0 and 0 when there is none.
std::pair<std::int64_t, std::int64_t> command_bounds(store::Connection& c);
void each_command_hash(store::Connection& c, std::int64_t after,
                       const std::function<void(std::uint64_t key_hash, std::int64_t pos)>& f);
std::vector<Record> commands_from(store::Connection& c, std::int64_t from);
std::optional<Record> command_at(store::Connection& c, std::int64_t pos);
void trim_commands(store::Connection& c, std::int64_t below);

}  // namespace haechi::journal::repo
