#include "store/sqlite_connection.hpp"

#include <fmt/format.h>

#include <cstring>

namespace haechi::store {
namespace {

constexpr Sql kBeginRead{"BEGIN"};
constexpr Sql kBeginWrite{"BEGIN IMMEDIATE"};
constexpr Sql kCommit{"COMMIT"};
constexpr Sql kRollback{"ROLLBACK"};
constexpr Sql kSavepoint{"SAVEPOINT job"};
constexpr Sql kRelease{"RELEASE job"};
constexpr Sql kRollbackTo{"ROLLBACK TO job"};

constexpr int kReaderCacheMib = 16;
constexpr int kBusyMs = 10'000;
constexpr int kReadersWaitMs = 100;

class SqliteRow final : public Row {
 public:
  explicit SqliteRow(sqlite3_stmt* s) : s_(s) {}
  bool is_null(int c) const override { return sqlite3_column_type(s_, c) == SQLITE_NULL; }
  std::int64_t i64(int c) const override { return sqlite3_column_int64(s_, c); }
  double f64(int c) const override { return sqlite3_column_double(s_, c); }
  std::string_view text(int c) const override {
    const auto* data = sqlite3_column_type(s_, c) == SQLITE_BLOB ? sqlite3_column_blob(s_, c)
                                                                 : static_cast<const void*>(sqlite3_column_text(s_, c));
    if (!data) return {};
    return {static_cast<const char*>(data), static_cast<std::size_t>(sqlite3_column_bytes(s_, c))};
  }

 private:
  sqlite3_stmt* s_;
};

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

/// The shared dialect (see Connection::script) as SQLite wants it.
std::string translated(std::string_view script) {
  std::string text(script);
  replace_all(text, "BIGINT PRIMARY KEY", "INTEGER PRIMARY KEY");  // else the key is a second tree
  replace_all(text, "BIGINT NOT NULL PRIMARY KEY", "INTEGER NOT NULL PRIMARY KEY");
  replace_all(text, "/*clustered*/", "WITHOUT ROWID");
  replace_all(text, " BYTEA", " BLOB");
  return text;
}

int remember_log_pages(void* pages, sqlite3*, const char*, int n) {
  *static_cast<int*>(pages) = n;
  return SQLITE_OK;
}

}  // namespace

SqliteConnection::SqliteConnection(const SqliteOptions& options, Access access) : writes_(access == Access::ReadWrite) {
  sqlite3* raw = nullptr;
  const int rc = sqlite3_open_v2(options.path.c_str(), &raw,
                                 SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  db_.reset(raw);
  if (rc != SQLITE_OK) raise(options.path);
  sqlite3_extended_result_codes(raw, 1);
  sqlite3_busy_timeout(raw, kBusyMs);
  const int cache_kib = (writes_ ? options.cache_mib : kReaderCacheMib) * 1024;
  // Checkpoints are the database's own business, on its own schedule.
  script(fmt::format(
      "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;"
      "PRAGMA foreign_keys=OFF; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-{};",
      cache_kib));
  if (writes_) {
    sqlite3_wal_hook(raw, remember_log_pages, &log_pages_);
  } else {
    script("PRAGMA mmap_size=1073741824; PRAGMA query_only=ON;");
  }
}

SqliteConnection::~SqliteConnection() { statements_.clear(); }

void SqliteConnection::raise(std::string_view text) const {
  throw SqlError(fmt::format("{} ({}) in: {}", db_ ? sqlite3_errmsg(db_.get()) : "out of memory",
                             db_ ? sqlite3_extended_errcode(db_.get()) : SQLITE_NOMEM, text.substr(0, 60)));
}

void SqliteConnection::script(std::string_view text) {
  const auto sql = translated(text);
  if (sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) raise(text);
}

void SqliteConnection::begin() { run(writes_ ? kBeginWrite : kBeginRead, {}, nullptr); }
void SqliteConnection::commit() { run(kCommit, {}, nullptr); }

void SqliteConnection::rollback() noexcept {
  // SQLite may have rolled back by itself: disk full, I/O error.
  if (sqlite3_get_autocommit(db_.get())) return;
  try {
    run(kRollback, {}, nullptr);
  } catch (const SqlError&) {
    // Every open statement is reset by now; what remains is a broken file, and the next begin() says so.
  }
}

void SqliteConnection::savepoint() { run(kSavepoint, {}, nullptr); }
void SqliteConnection::release() { run(kRelease, {}, nullptr); }
void SqliteConnection::rollback_to() {
  run(kRollbackTo, {}, nullptr);
  run(kRelease, {}, nullptr);
}

int SqliteConnection::checkpoint(Patience patience) {
  int total = 0;
  int moved = 0;
  const bool wait = patience == Patience::WaitForReaders;
  if (wait) sqlite3_busy_timeout(db_.get(), kReadersWaitMs);
  const int rc = sqlite3_wal_checkpoint_v2(
      db_.get(), nullptr, wait ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE, &total, &moved);
  if (wait) sqlite3_busy_timeout(db_.get(), kBusyMs);
  if (rc == SQLITE_BUSY) return 1;
  if (rc != SQLITE_OK) raise("checkpoint");
  return total - moved;
}

SqliteConnection::Statement SqliteConnection::prepare(const char* text) {
  Statement s;
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v3(db_.get(), text, -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr) != SQLITE_OK) raise(text);
  s.handle.reset(raw);
  s.text = text;
  s.reads = sqlite3_stmt_readonly(raw) != 0;
  const int count = sqlite3_bind_parameter_count(raw);
  for (int n = 1; n <= count; ++n) {
    const int slot = sqlite3_bind_parameter_index(raw, fmt::format("${}", n).c_str());
    if (slot == 0) throw SqlError(fmt::format("placeholders must be $1 to ${} in: {}", count, text));
    s.slots.push_back(slot);
  }
  return s;
}

SqliteConnection::Statement& SqliteConnection::cached(const char* text) {
  auto it = statements_.find(text);
  if (it == statements_.end()) it = statements_.emplace(text, prepare(text)).first;
  // The key is an address: text built at run time might come to lie where other text was.
  if (it->second.text != text) throw SqlError(fmt::format("the text of a statement must be constant: {}", text));
  return it->second;
}

void SqliteConnection::bind(Statement& s, std::span<const Value> args) {
  if (args.size() != s.slots.size()) {
    throw SqlError(fmt::format("{} values for {} placeholders in: {}", args.size(), s.slots.size(), s.text));
  }
  auto* h = s.handle.get();
  for (std::size_t i = 0; i < args.size(); ++i) {
    const int slot = s.slots[i];
    int rc = SQLITE_OK;
    // The views outlive the step, so nothing is copied.
    switch (args[i].index()) {
      case 0: rc = sqlite3_bind_null(h, slot); break;
      case 1: rc = sqlite3_bind_int64(h, slot, *std::get_if<std::int64_t>(&args[i])); break;
      case 2: rc = sqlite3_bind_double(h, slot, *std::get_if<double>(&args[i])); break;
      case 3: {
        const auto v = *std::get_if<std::string_view>(&args[i]);
        rc = sqlite3_bind_text64(h, slot, v.data() ? v.data() : "", v.size(), SQLITE_STATIC, SQLITE_UTF8);
        break;
      }
      default: {
        const auto v = std::get_if<Blob>(&args[i])->bytes;
        rc = sqlite3_bind_blob64(h, slot, v.data() ? v.data() : "", v.size(), SQLITE_STATIC);
      }
    }
    if (rc != SQLITE_OK) raise(s.text);
  }
}

std::int64_t SqliteConnection::run(const Sql& sql, std::span<const Value> args, const RowFn* row) {
  Statement& s = cached(sql.text);
  if (!s.busy) return execute(s, args, row);
  Statement another = prepare(sql.text);  // used again inside its own rows
  return execute(another, args, row);
}

std::int64_t SqliteConnection::execute(Statement& s, std::span<const Value> args, const RowFn* row) {
  bind(s, args);
  struct Use {
    Statement& s;
    explicit Use(Statement& statement) : s(statement) { s.busy = true; }
    ~Use() {
      sqlite3_reset(s.handle.get());
      s.busy = false;
    }
  } use(s);
  const SqliteRow view(s.handle.get());
  while (true) {
    const int rc = sqlite3_step(s.handle.get());
    if (rc == SQLITE_ROW) {
      if (row) (*row)(view);
      continue;
    }
    if (rc != SQLITE_DONE) raise(s.text);
    return s.reads ? 0 : sqlite3_changes64(db_.get());
  }
}

}  // namespace haechi::store
