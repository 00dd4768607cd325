#pragma once
// Prepared statements of one PostgreSQL connection. Only store/postgres*.cpp include this.

#include <libpq-fe.h>

#include <unordered_map>

#include "store/store.hpp"

namespace haechi::store {

/// What the server knows under `name`.
struct Prepared {
  enum class State { No, Sent, Yes } state = State::No;
  std::string name;
  std::string text;
};

/// One statement of the program.
struct PostgresStatement {
  Prepared single;
  std::size_t placeholders = 0;
  bool together = false;
  /// Of `INSERT INTO table(...) VALUES...`; empty for all else, which may look at any table.
  std::string inserts_into;
  /// Types of the placeholders, once `described`.
  std::vector<Oid> types;
  Prepared::State described = Prepared::State::No;
  std::uint64_t text_bound = 0;  ///< bit n: placeholder n was bound to text before the types were known
  /// The same INSERT for many rows, one array for each placeholder; made when the types are known.
  std::optional<Prepared> gathered;

  /// Takes note of the types; SqlError where text was bound to a placeholder for bytes.
  void describe(std::vector<Oid> found);
};

class PostgresStatements {
 public:
  PostgresStatement& find(const Sql& sql);

 private:
  std::unordered_map<const char*, PostgresStatement> statements_;
};

/// How many placeholders `text` has: the highest $n outside of quotes.
std::size_t count_placeholders(std::string_view text);
/// The table of a plain INSERT, one that reads no table.
std::string inserted_table(std::string_view text);
/// `INSERT INTO t(a, b) VALUES($1, $2) ...` for arrays of rows; nothing for an INSERT whose rows
/// cannot be gathered.
std::optional<std::string> gathered_insert(std::string_view text, std::span<const Oid> types);

}  // namespace haechi::store
