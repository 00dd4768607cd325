#pragma once
// The one way in for change.
//
// A command is a function that reads and writes through a transaction. Commands
// wait in a bounded queue; the commit thread takes all that wait, runs them in
// ONE transaction in the order they came, commits once (durably), and then, on
// the loop: the change feed advances, subscribers make their memory true, and
// only after that the callers get their answers. While one batch commits the
// next one gathers.
//
// Every change takes positions from one gapless sequence, given inside the
// transaction. A sync token is such a position.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/loop.hpp"
#include "base/metrics.hpp"
#include "base/result.hpp"
#include "base/task.hpp"
#include "store/late_index.hpp"
#include "store/store.hpp"

namespace haechi::journal {

/// Gapless, from 1, in order of commit.
using Position = std::int64_t;

/// What kind of change an entry is. Each module owns a range; see docs/architecture.md.
using Kind = std::int16_t;

/// What the committing node hands to its own subscribers so that they need not
/// parse `data`. Other nodes decode `data`.
struct Payload {
  virtual ~Payload() = default;
};

/// One change, as the feed tells it.
struct Entry {
  Position pos = 0;
  Kind kind = 0;
  std::string subject;  ///< whom or what it concerns: a user id, a room id
  std::string data;     ///< self-contained JSON, enough for another node to follow
  std::shared_ptr<const Payload> local;
  std::int64_t topic = 0;  ///< see Basis; 0: none
  bool own = true;         ///< committed by this node: exactly one node says so
  bool decisive = true;    ///< false: what was decided on its topic before it holds all the same
};

/// What a command was decided on: it holds as long as no other node has committed a decisive
/// entry on `topic` (a number that the writers of stored entries choose, such as a room's) after
/// position `at`.
/// Otherwise the command is refused with Errc::Stale and changes nothing: follow, decide again.
struct Basis {
  std::int64_t topic = 0;  ///< 0: depends on nothing
  Position at = 0;
};

/// The transaction of a batch as one command sees it. Commit thread only.
class Tx {
 public:
  store::Connection& sql() { return sql_; }
  /// When the command was handed to the commit thread.
  WallMs wall_ms() const { return wall_ms_; }

  /// Takes the next position and writes a feed row.
  Position append(Kind kind, std::string_view subject, std::string_view data,
                  std::shared_ptr<const Payload> local = nullptr);
  /// Takes the next position for a row that the module writes itself into its own
  /// table keyed by position (events): that row is the feed row.
  Position append_stored(Kind kind, std::shared_ptr<const Payload> local, std::int64_t topic = 0);

 private:
  friend class Journal;
  friend class Batch;
  friend class Shared;
  Tx(store::Connection& sql, Position last) : sql_(sql), last_(last) {}
  store::Connection& sql_;
  WallMs wall_ms_ = 0;
  Position last_;
  std::vector<Entry> entries_;
};

/// Stale: see Basis. Late: not committed within Options::answer_max; it may still be.
enum class Errc { Ok = 0, Full, Failed, ShuttingDown, Stale, Late };
const std::error_category& journal_category() noexcept;
inline std::error_code make_error_code(Errc c) noexcept { return {static_cast<int>(c), journal_category()}; }

/// Whether a command may fail after it has written something. `Guarded` commands
/// run inside a savepoint, so that a refusal undoes only them. `Bare` ones promise
/// to write only once they can no longer refuse: the hot path. (One that fails all
/// the same costs its batch a second run, with every command guarded.)
enum class Guard { Guarded, Bare };

struct Options {
  std::size_t queue_max = 20'000;  ///< commands waiting; past it Errc::Full, at once
  std::size_t batch_max = 2'000;
  /// Runs commits on the loop itself, so that a simulation repeats from its seed.
  bool inline_commits = false;
  std::size_t keys_remembered_min = 8'000'000;         ///< idempotency records are kept at least for so many commands
  std::size_t answers_in_memory = 50'000;              ///< the newest of them need no read
  Duration claim_wait_max = std::chrono::seconds(30);  ///< for another holder of the same key
  std::size_t feed_rows_kept = 1'000'000;              ///< rows of `feed` further back, in positions, are deleted
  std::size_t index_segment_entries = 131'072;         ///< of the index over idempotency keys
  /// On a shared database only: names this process among its nodes, different at each start.
  std::string node_id;
  /// On a shared database only: so long a caller waits, while the database moves to another
  /// site, before Errc::Late.
  Duration answer_max = std::chrono::seconds(20);
  /// On a shared database only: what Journal::cut_off() says.
  std::function<bool()> cut_off = [] { return false; };
  /// On a shared database only: called (on any thread, must not return) when a server took over
  /// that never heard of changes which this node has followed, so that its memory is wrong.
  std::function<void()> on_diverged = [] { std::abort(); };
};

/// A command's name in the outside world: the same scope and key have one effect
/// and one answer, for ever (in the sense of Options::keys_remembered_min).
/// scope: who and what, "@u:hs|DEVICE|/rooms/!r/send/m.room.message"; key: the client's.
struct CommandKey {
  std::string scope;
  std::string key;
};

class Journal;

/// The right to carry out a keyed command, or the answer that it already had.
/// While one holder works, others with the same key wait for it. Dropping an
/// unused claim lets the next one try.
class Claim {
 public:
  Claim(Claim&&) noexcept;
  Claim& operator=(Claim&&) noexcept;
  ~Claim();
  /// Set when the command was carried out before.
  const std::optional<std::string>& answer() const { return answer_; }

 private:
  friend class Journal;
  Claim() = default;
  void release() noexcept;
  Journal* journal_ = nullptr;  ///< null: holds nothing
  std::uint64_t hash_ = 0;
  std::int64_t known_ = 0;  ///< the newest idempotency record that was looked at
  std::string full_key_;
  std::optional<std::string> answer_;
};

/// Loop thread only, unless said otherwise. Lifecycle: create, subscribe, start, stop.
/// Commands submitted before start() wait for it. Destroy it after stop(), when no
/// claim and no submitted command is left.
class Journal {
 public:
  /// Reads the last position and the newest idempotency records.
  static Result<std::unique_ptr<Journal>> create(Loop& loop, store::Database& db, store::Readers& readers,
                                                 const Clock& clock, Metrics& metrics, Options options);
  virtual ~Journal() = default;

  /// Migrations of the journal's own tables; run before create().
  static std::span<const store::Migration> migrations();

  /// `follow` is called once a batch with its entries in order, after the commit
  /// and before the batch's callers are answered. In order of subscription.
  virtual void subscribe(std::function<void(std::span<const Entry>)> follow) = 0;
  /// How entries of append_stored() that other nodes committed are read: those of `kind` with
  /// after < pos <= upto, in order, with `topic` and `local` set. Runs on the commit thread.
  /// Call before start().
  using StoredReader = std::function<std::vector<Entry>(store::Connection&, Position after, Position upto)>;
  virtual void read_stored(Kind kind, StoredReader reader) = 0;
  /// Moves the full segments of `index` to its table while commands run. `index` must outlive
  /// stop(). Call before start().
  virtual void maintain(store::LateIndex& index) = 0;

  virtual void start() = 0;
  /// Refuses new commands, commits what waits, closes the connection.
  virtual Task<void> stop() = 0;

  /// Carries out `apply(Tx&) -> Result<T>` and answers once it is durable.
  /// Errors of `apply` come back unchanged and change nothing. Errc::Full when
  /// the queue is full (retry later); Errc::Failed when the store failed: nothing
  /// of this command is recorded. `apply` runs on the commit thread, and again from its
  /// beginning when its batch has to be repeated: it must not consume what it captured.
  template <class F>
  auto submit(F apply, Guard guard = Guard::Guarded, Basis basis = {}) -> Task<std::invoke_result_t<F&, Tx&>> {
    using R = std::invoke_result_t<F&, Tx&>;
    auto job = std::make_unique<TypedJob<R, F>>(std::move(apply), guard);
    job->basis = basis;
    auto future = job->promise.future();
    if (auto queued = enqueue(std::move(job)); !queued) co_return std::unexpected(std::move(queued.error()));
    co_return co_await future;
  }

  /// The once-only form: first claim, then (where there is no answer yet) submit with the claim.
  /// A key that was never used costs neither a read nor a wait. Errc::Timeout of base
  /// when another holder keeps the key for too long.
  virtual Task<Result<Claim>> claim(CommandKey key) = 0;
  /// As submit; `apply` returns Result<std::string>, the answer, which is recorded
  /// in the same transaction under the claim's key. The caller holds the claim until it has
  /// done with the command: one that is refused as Stale may be submitted again under it.
  template <class F>
  Task<Result<std::string>> submit(Claim& claim, F apply, Guard guard = Guard::Guarded, Basis basis = {}) {
    if (claim.answer_) co_return *claim.answer_;
    auto job = std::make_unique<TypedJob<Result<std::string>, F>>(std::move(apply), guard);
    job->basis = basis;
    job->key_hash = claim.hash_;
    job->full_key = claim.full_key_;
    job->commands_known = claim.known_;
    auto future = job->promise.future();
    if (auto queued = enqueue(std::move(job)); !queued) co_return std::unexpected(std::move(queued.error()));
    co_return co_await future;
  }

  /// The newest position that is durable and that every subscriber has followed.
  Position position() const { return position_; }
  /// Waits until this node has followed everything that any node committed before the call, or
  /// until `at_most` has passed (false). At once where no other node can write.
  virtual Task<bool> fresh(Duration at_most) = 0;
  /// Whether this node stands apart from the majority of sites, so that what it knows may be old.
  virtual bool cut_off() const = 0;

  /// Tells the other nodes something that may be lost (typing, presence): at most 6,000 bytes,
  /// not in the feed, not stored. Called there with the same topic; not here.
  virtual void broadcast(std::string_view topic, std::string_view message) = 0;
  virtual void on_broadcast(std::string topic, std::function<void(std::string_view message)> hear) = 0;
  /// Names this process among the nodes of one database; random, new at each start.
  virtual const std::string& node_id() const = 0;
  /// Whether other nodes may write to the same database.
  virtual bool shared() const = 0;

  /// Rows of the feed from `from` on (append()'s; append_stored()'s are in their modules'
  /// own tables), at most `limit`, in order.
  virtual Task<Result<std::vector<Entry>>> read_feed(Position from, std::size_t limit) = 0;
  /// Commands that wait for their commit; for metrics and for readiness.
  virtual std::size_t queued() const = 0;
  /// False once a commit has failed (disk full, I/O error), until one succeeds.
  virtual bool healthy() const = 0;

 protected:
  friend class Batch;
  friend class Shared;
  friend class Claim;
  struct Job {
    explicit Job(Guard g) : guard(g) {}
    virtual ~Job() = default;
    virtual bool apply(Tx& tx) = 0;  ///< commit thread; false: refused
    virtual std::string_view answer() const { return {}; }
    // Loop thread. Only the first call has an effect.
    virtual void finish() = 0;  ///< gives the stored result
    virtual void finish(Error error) = 0;
    virtual void finish_as(std::string /*answer*/) {}  ///< keyed commands: with the answer given before
    Guard guard;
    Basis basis;
    std::uint64_t key_hash = 0;
    std::string full_key;              ///< empty: not keyed
    bool internal = false;             ///< the journal's own: not counted
    std::uint64_t failures_known = 0;  ///< failed commits that the submitter can have heard of
    std::int64_t commands_known = 0;   ///< the newest idempotency record that claim() knew of
    TimerQueue::Timer late;            ///< shared databases only
    // Filled by the batch.
    WallMs wall_ms = 0;
    std::int64_t command_pos = 0;  ///< of the idempotency record; 0: none was written
    std::optional<Error> failure;
    std::optional<std::string> earlier_answer;  ///< the same command had been carried out before
  };
  template <class R, class F>
  struct TypedJob final : Job {
    TypedJob(F f, Guard g) : Job(g), function(std::move(f)) {}
    bool apply(Tx& tx) override {
      result.emplace(std::invoke(function, tx));
      return result->has_value();
    }
    std::string_view answer() const override {
      if constexpr (std::is_same_v<R, Result<std::string>>) return **result;
      else return {};
    }
    void finish() override { promise.set(*std::move(result)); }
    void finish(Error error) override { promise.set(R(std::unexpected(std::move(error)))); }
    void finish_as(std::string earlier) override {
      if constexpr (std::is_same_v<R, Result<std::string>>) promise.set(std::move(earlier));
    }
    F function;
    std::optional<R> result;
    Promise<R> promise;
  };
  virtual Result<> enqueue(std::unique_ptr<Job> job) = 0;
  virtual void release_claim(std::uint64_t hash) noexcept = 0;
  Claim make_claim(std::uint64_t hash, std::string full_key, std::int64_t known);
  static Claim make_answered(std::string answer);
  Position position_ = 0;
};

}  // namespace haechi::journal

template <>
struct std::is_error_code_enum<haechi::journal::Errc> : std::true_type {};
