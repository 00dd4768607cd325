#pragma once
// The SQLite engine's connection. Only store/sqlite*.cpp include this.

#include <sqlite3.h>

#include <unordered_map>

#include "store/store.hpp"

namespace haechi::store {

class SqliteConnection final : public Connection {
 public:
  /// Throws SqlError.
  SqliteConnection(const SqliteOptions& options, Access access);
  ~SqliteConnection() override;
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;

  void script(std::string_view text) override;
  void begin() override;
  void commit() override;
  void rollback() noexcept override;
  void savepoint() override;
  void release() override;
  void rollback_to() override;

  enum class Patience { None, WaitForReaders };
  /// Moves what no reader needs from the log into the main file; returns how many pages of
  /// the log remain to be moved. When none do and no reader uses the log, the next commit
  /// writes from its beginning. Waits for nobody, or at most 100 ms for readers.
  int checkpoint(Patience patience = Patience::None);
  /// Pages in the log after this connection's newest commit.
  int log_pages() const { return log_pages_; }

 protected:
  std::int64_t run(const Sql& sql, std::span<const Value> args, const RowFn* row) override;

 private:
  struct Closer {
    void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
    void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
  };
  struct Statement {
    std::unique_ptr<sqlite3_stmt, Closer> handle;
    std::string text;
    std::vector<int> slots;  ///< slots[n - 1] is SQLite's index of placeholder $n
    bool reads = false;
    bool busy = false;  ///< a row callback of this very statement is running
  };

  Statement prepare(const char* text);
  Statement& cached(const char* text);
  std::int64_t execute(Statement& s, std::span<const Value> args, const RowFn* row);
  void bind(Statement& s, std::span<const Value> args);
  [[noreturn]] void raise(std::string_view text) const;

  std::unique_ptr<sqlite3, Closer> db_;
  std::unordered_map<const char*, Statement> statements_;
  const bool writes_;
  int log_pages_ = 0;
};

}  // namespace haechi::store
