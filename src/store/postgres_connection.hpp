#pragma once
// The PostgreSQL engine's connection. Only store/postgres*.cpp include this.
//
// Everything goes through libpq's pipeline mode on a socket that never blocks. What needs no
// answer (begin, savepoints, put, notify) is kept in a list and travels with the next
// statement that does; the server then answers all of it in one go, up to its "ready for query".
//
// A statement that nobody answers is never cancelled: its effects may stand. Instead the
// connection looks whether another server accepts writes by now, and if so gives this one up.

#include "store/postgres_find.hpp"
#include "store/postgres_statement.hpp"
#include "store/postgres_values.hpp"
#include "store/store.hpp"

namespace haechi::store {

class PostgresConnection final : public Connection {
 public:
  PostgresConnection(Primary server, std::shared_ptr<Finder> finder, Access access);
  PostgresConnection(const PostgresConnection&) = delete;
  PostgresConnection& operator=(const PostgresConnection&) = delete;

  void script(std::string_view text) override;
  void begin() override;
  void commit() override;
  void rollback() noexcept override;
  void savepoint() override;
  void release() override;
  void rollback_to() override;
  void flush() override;
  bool lost() const override { return connection_ == nullptr; }
  bool defers() const override { return true; }
  std::int64_t term() const override { return static_cast<std::int64_t>(timeline_); }
  void exclusive() override;
  void listen(std::string_view channel) override;
  void notify(std::string_view channel, std::string_view payload) override;
  std::vector<Notice> wait(int wake_fd, Duration at_most) override;

 protected:
  std::int64_t run(const Sql& sql, std::span<const Value> args, const RowFn* row) override;
  void defer(const Sql& sql, std::span<const Value> args) override;
  void query_ahead(const Sql& sql, std::span<const Value> args, std::function<void(const Row&)> row) override;

 private:
  using AheadFn = std::function<void(const Row&)>;
  enum class Do : std::uint8_t { Nothing, Statement, Begin, Commit, Savepoint, Release, RollbackTo };
  /// Something not sent yet.
  struct Op {
    Do what = Do::Nothing;
    PostgresStatement* statement = nullptr;
    std::size_t first = 0;  ///< of its values
    std::size_t count = 0;
    std::uint64_t savepoint = 0;
    std::shared_ptr<const AheadFn> ahead{};  ///< who gets the rows of a query sent ahead
  };
  /// What the server will answer, in this order.
  struct Expected {
    enum class Kind : std::uint8_t { Result, Prepared, Described, Savepoint, Sync } kind = Kind::Result;
    Prepared* prepared = nullptr;
    PostgresStatement* statement = nullptr;
    std::uint64_t savepoint = 0;
    bool ignored = false;  ///< whether it succeeds
    const char* text = "";
    std::shared_ptr<const AheadFn> ahead{};
    ResultPtr result{};
  };
  struct Savepoint {
    std::uint64_t id = 0;
    bool established = false;  ///< the server has it
  };
  struct Failure {
    std::string state;  ///< the SQLSTATE
    std::string what;
  };
  enum class Last { Answered, Deferred };
  enum class Patience { Bounded, Endless };

  void require_usable() const;
  [[noreturn]] void lose(std::string_view why);
  void append(const Sql& sql, std::span<const Value> args);
  void control(Do what, std::uint64_t savepoint = 0);
  void clear_unsent();

  /// Sends everything and waits for all answers; returns the last statement's.
  ResultPtr exchange(Last last, Patience patience = Patience::Bounded);
  void send_unsent(Last last);
  /// Rows that go together: a statement and where the values of each row begin.
  using Groups = std::vector<std::pair<PostgresStatement*, std::vector<std::size_t>>>;
  static bool looks_at(const PostgresStatement& statement, const Groups& groups);
  void send_gathered(Groups& groups);
  void send_statement(const Op& op);
  void send_control(const Op& op);
  void send_text(const char* text, Expected expected);
  void prepare(Prepared& prepared, PostgresStatement* described_with);
  void send_prepared(Prepared& prepared, const char* text, std::shared_ptr<const AheadFn> ahead = nullptr);
  void send_sync();
  void expect(int sent, Expected expected);

  /// Takes in the answers that have come; true when all have.
  bool take_answers();
  void settle(Expected& e, ResultPtr& result);
  template <class F>
  void guarded(F work);
  ResultPtr finish_answers(Patience patience);
  void raise_failure();
  bool means_lost(std::string_view state) const;

  enum class Woke { Input, Fd, Time };
  /// One wait for the server, for `wake_fd` or until `until`; looks after suspicious silence.
  Woke pause(int wake_fd, Instant until);
  void look_elsewhere(Instant now);
  static void receive_notice(void* self, const PGresult* notice);

  PostgresPtr connection_;  ///< null once it is lost
  const std::size_t host_;
  const Timeline timeline_;
  const std::shared_ptr<Finder> finder_;
  const Access access_;
  PostgresStatements statements_;

  std::vector<Op> unsent_;
  BoundValues values_;
  Arguments arguments_;
  std::deque<Expected> expected_;
  std::optional<Failure> failure_;  ///< the first of the answers being taken in
  ResultPtr last_result_;

  bool in_transaction_ = false;  ///< as the caller sees it
  bool begun_ = false;           ///< as the server sees it
  bool aborted_ = false;         ///< the server's transaction has failed and nobody has asked to go back yet
  std::vector<Savepoint> savepoints_;
  std::uint64_t savepoints_made_ = 0;
  std::string warning_;  ///< the last one the server gave

  std::optional<Instant> asked_;  ///< since when the server owes an answer
  Instant heard_;                 ///< its last sign of life
  std::vector<Probe> probes_;     ///< of other hosts, while this one is silent
  Instant next_look_;
};

}  // namespace haechi::store
