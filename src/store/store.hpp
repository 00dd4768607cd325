#pragma once
// SQL behind one seam. Statements are written once, in the dialect that SQLite
// and PostgreSQL share, with placeholders $1, $2, ...; what differs between the
// engines stays inside store/.
//
// A Connection belongs to one thread at a time. A statement that fails (disk,
// syntax, lost server) throws SqlError: it is caught at the border of the job
// that ran it (the journal's batch, the read pool). What callers expect to
// happen, such as a row that exists already, is said with ON CONFLICT instead.

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.hpp"
#include "base/pool.hpp"
#include "base/result.hpp"

namespace haechi::store {

/// Whether an INSERT may be written together with others of its kind, in one statement and at
/// any time before the next answer, the next statement that might see its rows, or the commit.
enum class Rows : bool { OneByOne, Together };

/// A statement. Make them `inline constexpr` or static: the prepared form is cached by the
/// address of the text.
struct Sql {
  const char* text;
  Rows rows = Rows::OneByOne;
};

struct Blob {
  std::string_view bytes;
};

/// What is bound to a placeholder. Views must hold for the call only.
using Value = std::variant<std::nullptr_t, std::int64_t, double, std::string_view, Blob>;

template <class T>
Value to_value(const T& v) {
  if constexpr (std::is_same_v<T, Value>) return v;
  else if constexpr (std::is_same_v<T, std::nullptr_t>) return nullptr;
  else if constexpr (std::is_same_v<T, bool>) return std::int64_t{v};
  else if constexpr (std::is_integral_v<T>) return static_cast<std::int64_t>(v);
  else if constexpr (std::is_floating_point_v<T>) return static_cast<double>(v);
  else if constexpr (std::is_same_v<T, Blob>) return v;
  else return std::string_view(v);
}
template <class T>
Value to_value(const std::optional<T>& v) {
  return v ? to_value(*v) : Value(nullptr);
}

class SqlError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The server has no room left (disk, memory, connections): the same work may succeed later.
class Exhausted : public SqlError {
 public:
  using SqlError::SqlError;
};

/// The server cannot be reached any more, or is not the one that accepts writes. The
/// connection is of no more use; the same work may succeed on a new one. Thrown by commit(),
/// it leaves open whether the transaction was committed.
class ConnectionLost : public SqlError {
 public:
  using SqlError::SqlError;
};

/// The current row of a query; views hold until the next row. Columns from 0.
class Row {
 public:
  virtual bool is_null(int column) const = 0;
  virtual std::int64_t i64(int column) const = 0;
  virtual double f64(int column) const = 0;
  virtual std::string_view text(int column) const = 0;  ///< blobs too
  std::string str(int column) const { return std::string(text(column)); }
  std::optional<std::string> opt_str(int column) const {
    return is_null(column) ? std::nullopt : std::optional(str(column));
  }
  std::optional<std::int64_t> opt_i64(int column) const {
    return is_null(column) ? std::nullopt : std::optional(i64(column));
  }

 protected:
  ~Row() = default;
};

/// Refers to a callable for the length of one call; never kept.
class RowFn {
 public:
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, RowFn>)
  RowFn(F&& f)  // NOLINT: implicit, so that a lambda can be passed
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* o, const Row& r) { (*static_cast<std::remove_reference_t<F>*>(o))(r); }) {}
  void operator()(const Row& row) const { call_(object_, row); }

 private:
  void* object_;
  void (*call_)(void*, const Row&);
};

class Connection {
 public:
  virtual ~Connection() = default;

  /// Runs a statement whose result nobody needs. It may be sent with later ones: its error
  /// shows at the next answer (exec, each, ..., commit) and spoils the transaction up to
  /// the last savepoint.
  template <class... A>
  void put(const Sql& sql, const A&... args) {
    const Value values[] = {to_value(args)..., Value(nullptr)};
    defer(sql, {values, sizeof...(args)});
  }
  /// Runs a statement; returns the number of rows changed.
  template <class... A>
  std::int64_t exec(const Sql& sql, const A&... args) {
    const Value values[] = {to_value(args)..., Value(nullptr)};
    return run(sql, {values, sizeof...(args)}, nullptr);
  }
  /// A query whose rows may come as late as the next answer (or flush()): `row` is kept until
  /// then. For what is to travel together with other statements.
  template <class... A>
  void ahead(const Sql& sql, std::function<void(const Row&)> row, const A&... args) {
    const Value values[] = {to_value(args)..., Value(nullptr)};
    query_ahead(sql, {values, sizeof...(args)}, std::move(row));
  }
  /// Calls `row` for each row.
  template <class... A>
  void each(const Sql& sql, const RowFn& row, const A&... args) {
    const Value values[] = {to_value(args)..., Value(nullptr)};
    run(sql, {values, sizeof...(args)}, &row);
  }
  /// Maps the first row, or nothing.
  template <class F, class... A>
  auto one(const Sql& sql, F map, const A&... args) -> std::optional<std::invoke_result_t<F, const Row&>> {
    std::optional<std::invoke_result_t<F, const Row&>> out;
    each(
        sql,
        [&](const Row& r) {
          if (!out) out.emplace(map(r));
        },
        args...);
    return out;
  }
  /// Maps every row.
  template <class F, class... A>
  auto all(const Sql& sql, F map, const A&... args) {
    std::vector<std::invoke_result_t<F, const Row&>> out;
    each(sql, [&](const Row& r) { out.push_back(map(r)); }, args...);
    return out;
  }
  template <class... A>
  std::optional<std::int64_t> one_i64(const Sql& sql, const A&... args) {
    std::optional<std::int64_t> out;
    each(
        sql,
        [&](const Row& r) {
          if (!out && !r.is_null(0)) out = r.i64(0);
        },
        args...);
    return out;
  }

  /// What the others are made of; for connections that wrap another one.
  std::int64_t execute(const Sql& sql, std::span<const Value> args, const RowFn* row) { return run(sql, args, row); }

  /// Runs text that is not worth preparing: migrations. May hold several statements.
  /// Where the engines' dialects part, the text is written like this:
  ///   `pos BIGINT PRIMARY KEY`           a table kept in the order of that integer
  ///   `... PRIMARY KEY(a, b)) /*clustered*/;`  a table kept in the order of its key
  ///   `BYTEA`                            bytes
  virtual void script(std::string_view text) = 0;

  /// Inside a transaction: until its end no other connection is past its own exclusive(). For
  /// what happens once, such as a step of the schema while several nodes start.
  virtual void exclusive() {}

  virtual void begin() = 0;
  virtual void commit() = 0;
  virtual void rollback() noexcept = 0;
  /// A nested scope inside a transaction: ended by release() (kept) or rollback_to() (undone).
  /// Like put() these may be sent late.
  virtual void savepoint() = 0;
  virtual void release() = 0;
  virtual void rollback_to() = 0;
  /// Sends what put() and its like have kept back and waits for it; throws what went wrong.
  virtual void flush() {}
  /// Whether ConnectionLost was thrown: it will be again, whatever is asked.
  virtual bool lost() const { return false; }
  /// Whether put() and its like keep anything back at all.
  virtual bool defers() const { return false; }

  /// Grows each time the database moves to another server (PostgreSQL's timeline). What a
  /// server of an earlier term says must not be believed.
  virtual std::int64_t term() const { return 0; }

  /// Notices by which nodes tell each other of commits. Engines that one process has to
  /// itself (see Database::shared) have none.
  struct Notice {
    std::string channel;
    std::string payload;
  };
  virtual void listen(std::string_view /*channel*/) {}
  /// Part of the transaction if there is one: sent when it is committed. At most 7,900 bytes.
  virtual void notify(std::string_view /*channel*/, std::string_view /*payload*/) {}
  /// Outside of a transaction: waits until there are notices, until `wake_fd` is readable, or
  /// for `at_most`. Throws ConnectionLost.
  virtual std::vector<Notice> wait(int /*wake_fd*/, Duration /*at_most*/) { return {}; }

 protected:
  virtual std::int64_t run(const Sql& sql, std::span<const Value> args, const RowFn* row) = 0;
  virtual void defer(const Sql& sql, std::span<const Value> args) { run(sql, args, nullptr); }
  virtual void query_ahead(const Sql& sql, std::span<const Value> args, std::function<void(const Row&)> row) {
    const RowFn now(row);
    run(sql, args, &now);
  }
};

enum class Access { ReadOnly, ReadWrite };

/// One database; makes connections. Thread-safe.
class Database {
 public:
  virtual ~Database() = default;
  virtual std::unique_ptr<Connection> connect(Access access) = 0;
  /// "sqlite" or "postgresql".
  virtual std::string_view engine() const = 0;
  /// Whether other nodes may write to it too.
  virtual bool shared() const { return false; }
  /// Gives the engine a moment to keep its log bounded. The journal calls it with the
  /// writing connection between two batches; it returns at once when nothing is due.
  virtual void checkpoint(Connection&) {}
};

struct SqliteOptions {
  std::string path;
  int checkpoint_pages = 20000;  ///< the log is moved into the main file once it is so long
  int cache_mib = 256;           ///< of the writing connection; each reader has 16
};
/// Opens or creates. Errc::Io when the file cannot be used; Errc::Conflict when it is
/// in use already (by this process or another, told by a lock on `path`.lock).
Result<std::unique_ptr<Database>> open_sqlite(SqliteOptions options);

struct PostgresOptions {
  std::vector<std::string> hosts;  ///< "host:port"; the one that accepts writes is found among them
  std::string database = "haechi";
  std::string user = "haechi";
  std::string password;
  /// How long connect() looks for a server that accepts writes before it throws ConnectionLost.
  Duration find_max = std::chrono::seconds(10);
  /// One attempt at one host.
  Duration connect_max = std::chrono::milliseconds(500);
  /// An answer that takes longer makes the connection look whether another host accepts writes
  /// now; if one does, this one is given up (ConnectionLost). Nothing is ever cancelled.
  Duration suspicious_after = std::chrono::milliseconds(700);
  /// A connection is given up after this silence in any case (but not by migrations).
  Duration answer_max = std::chrono::seconds(30);
};
/// Does not connect yet: the servers may come later. Errc::Invalid for options that cannot work.
Result<std::unique_ptr<Database>> open_postgres(PostgresOptions options);

/// One numbered step of a module's schema. Forward only; applied in order of
/// (module registration, number), each in its own transaction, and recorded in
/// `migrations`. The same SQL runs on both engines.
struct Migration {
  std::string_view module;
  int number;
  std::string_view name;
  std::string_view sql;
};
/// Errc::Conflict when the database is newer than this program.
Result<> migrate(Database& db, std::span<const Migration> steps);

/// Reads off the loop: each read has a read-only connection to itself and sees one
/// committed state from its first statement to its last. Loop thread only.
class Readers {
 public:
  Readers(Loop& loop, Database& db, std::size_t threads, std::size_t queue_max);

  /// Runs `f(Connection&) -> Result<T>` on a reader thread; SqlError comes back as Errc::Io.
  /// When the connection is lost it runs again, from its beginning, on a new one: so it must not
  /// consume what it captured. Errc::Unavailable when that has not helped for ten seconds.
  template <class F>
    requires std::is_invocable_v<const F&, Connection&>
  auto read(F f) -> Task<std::invoke_result_t<const F&, Connection&>> {
    using R = std::invoke_result_t<const F&, Connection&>;
    return pool_.run([this, f = std::move(f), deadline = deadline()]() -> R {
      while (may_try(deadline)) {
        try {
          Lease lease(*this);
          return f(*lease.connection);
        } catch (const ConnectionLost&) {
          forget_connections();
        }
      }
      return std::unexpected(unreachable());
    });
  }

 private:
  struct Lease {
    explicit Lease(Readers& r) : readers(r), connection(r.take()) { connection->begin(); }
    ~Lease() {
      connection->rollback();
      readers.give(std::move(connection));
    }
    Readers& readers;
    std::unique_ptr<Connection> connection;
  };
  std::unique_ptr<Connection> take();
  void give(std::unique_ptr<Connection> c);
  static Instant deadline();
  bool may_try(Instant deadline) const;
  /// Those at rest lead to the server that has just been lost.
  void forget_connections();
  static Error unreachable();

  Database& db_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Connection>> free_;
  BlockingPool pool_;
};

}  // namespace haechi::store
