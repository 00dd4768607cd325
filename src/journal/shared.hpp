#pragma once
// The commit thread's side of a database that other nodes write to as well.
//
// A batch takes the database's turn: a row lock that ends with its transaction,
// so that batches of all nodes stand in one order. With the turn comes what the
// others have committed since (News); that is handed to the loop before the batch's
// own entries, so every node follows every entry in the order of positions.
//
// A connection lost in commit leaves the batch in doubt. Each batch signs with
// its number in a row of its node; the next turn, on whichever server then
// accepts writes, reads the signature and settles it.

#include <atomic>
#include <deque>
#include <mutex>
#include <unordered_map>

#include "journal/batch.hpp"
#include "journal/journal.hpp"
#include "journal/repo_sql.hpp"
#include "store/late_index.hpp"

namespace haechi::journal {

/// A part of the order that other nodes committed, and what they said.
struct News {
  std::vector<Entry> entries;
  std::vector<repo::CommandRef> commands;
  std::vector<repo::Mark> marks;
  repo::Head upto;
  struct Heard {
    std::string topic;
    std::string message;
  };
  std::vector<Heard> heard;
  bool empty() const { return entries.empty() && commands.empty() && heard.empty(); }
};

/// Commit thread only, unless said otherwise.
class Shared {
 public:
  struct Needs {
    store::Database& db;
    std::string node_id;
    std::function<void(News)> tell;   ///< hands to the loop
    std::function<bool()> stopping;   ///< any thread
    std::function<WallMs()> wall_ms;  ///< any thread
    std::function<void()> proven;     ///< a commit was acknowledged
    /// The database went on without something that this node had followed: its memory is of no
    /// use any more. Must not return to work.
    std::function<void()> diverged;
  };
  explicit Shared(Needs needs) : needs_(std::move(needs)) {}

  // Before the thread starts.
  void read_stored(Kind kind, Journal::StoredReader reader) { readers_.emplace_back(kind, std::move(reader)); }
  /// `mark`: repo::mark_at(head.pos).
  void begin_at(repo::Head head, std::int64_t mark);
  void maintain(const store::LateIndex& index) { indexes_.push_back(&index); }

  /// Runs and commits, however often the database moves meanwhile. Only stopping ends it early.
  void run(Batch& batch);
  /// Follows what others committed, says what is to be said, and waits for more: for a notice,
  /// for `wake_fd`, or for a while. Shows by a small commit now and then that it could commit.
  void idle(int wake_fd);
  /// What the other nodes are told: goes out with the next batch or the next idle(). Any thread.
  void say(std::string_view topic, std::string_view message);

  /// When something was last committed or followed. Any thread.
  Instant last_contact() const { return Instant(Instant::duration(last_contact_.load(std::memory_order_relaxed))); }

  /// When this node last had a commit acknowledged. Any thread.
  Instant last_proof() const { return Instant(Instant::duration(last_proof_.load(std::memory_order_relaxed))); }

  // For the batch, inside its transaction.
  repo::Head take_turn(store::Connection& c);
  bool stale(const Basis& basis) const;
  /// The answer of a command with this name that was recorded after `known`.
  std::optional<std::string> earlier_answer(store::Connection& c, std::uint64_t hash, std::string_view full_key,
                                            std::int64_t known) const;
  void remember(std::uint64_t hash, std::int64_t command_pos);
  /// The batch's number, and the notice to the others where there is something to follow.
  void sign(store::Connection& c, repo::Head before, repo::Head after);

 private:
  struct Stopping {};
  struct FarBehind {};  ///< more has to be read than one turn should last
  store::Connection& connection();
  bool step(Batch& batch);
  void recover(const store::SqlError& error);
  void hear_notices();
  void speak(store::Connection& c);
  bool something_said();
  bool settle(store::Connection& c, Batch& batch);
  News ask(store::Connection& c, bool turn);
  /// Takes in what ask() brought and hands it to the loop.
  void learn(News news);
  bool follow(store::Connection& c);
  void prove(store::Connection& c);
  void check_past(store::Connection& c);
  void listen(store::Connection& c, int wake_fd, Duration at_most);
  void attach_segments(store::Connection& c, std::vector<Entry>& entries) const;
  void in_contact();
  void proven();

  Needs needs_;
  std::vector<std::pair<Kind, Journal::StoredReader>> readers_;
  std::vector<const store::LateIndex*> indexes_;
  std::unique_ptr<store::Connection> connection_;
  std::int64_t term_ = 0;     ///< the highest seen: servers of earlier ones are not believed
  repo::Head known_;          ///< up to here everything was handed to the loop
  std::int64_t batch_ = 0;    ///< the number of this node's newest attempt
  std::int64_t attempt_ = 0;  ///< the number of the attempt that is in doubt
  repo::Mark past_;        ///< the newest that this node has followed
  std::int64_t mark_ = 0;  ///< of the batch under way
  bool behind_ = true;     ///< somebody may have committed more
  bool far_behind_ = false;  ///< so much that it is read before the next turn
  Instant proven_{};       ///< when this node last committed
  std::atomic<Instant::duration::rep> last_contact_{0};
  std::atomic<Instant::duration::rep> last_proof_{0};
  std::mutex said_mutex_;
  std::deque<std::string> said_;    ///< under the mutex; at most kSayMax
  std::deque<std::string> outbox_;  ///< what the transaction under way carries, until it is committed
  std::vector<News::Heard> heard_;
  std::unordered_map<std::int64_t, Position> touched_;             ///< topic -> where another node changed it last
  Position touched_floor_ = 0;                                     ///< what was touched before is forgotten
  std::unordered_multimap<std::uint64_t, std::int64_t> commands_;  ///< hash -> records after commands_floor_
  std::deque<std::pair<std::uint64_t, std::int64_t>> commands_order_;
  std::int64_t commands_floor_ = 0;
};

/// The journal's own kind, on shared databases. Subject: a late index's id; data: the number of a
/// segment that was moved to its table or deleted from it.
inline constexpr Kind kIndexSegment = 1;

/// Read for the nodes that did not do it.
struct SegmentMoved final : Payload {
  std::shared_ptr<const store::LateIndex::Moved> segment;  ///< null: deleted
};

}  // namespace haechi::journal
