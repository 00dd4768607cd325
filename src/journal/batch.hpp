#pragma once
// What the commit thread does with the commands it took: one transaction.

#include "journal/journal.hpp"
#include "journal/repo_sql.hpp"

namespace haechi::journal {

class Shared;

/// Commit thread, then handed to the loop.
class Batch {
 public:
  using Jobs = std::vector<std::unique_ptr<Journal::Job>>;

  /// `failures`: failed commits so far. Commands submitted before their submitter could know of
  /// the last one fail too: what they were decided on may never have happened.
  Batch(Jobs jobs, repo::Head before, std::uint64_t failures)
      : jobs_(std::move(jobs)), before_(before), last_(before), failures_(failures) {}

  /// Runs every job and commits. Afterwards each job either has its result or a
  /// `failure`; nothing of a failed one is in the database. On a shared database the
  /// transaction begins with `shared` taking the turn, and a lost connection
  /// (store::ConnectionLost) comes out of here: see in_doubt().
  void run(store::Connection& c, Shared* shared = nullptr);

  bool committed() const { return committed_; }
  /// The connection was lost while the commit was under way.
  bool in_doubt() const { return in_doubt_; }
  /// In doubt, and found to be in the database after all.
  void settle_as_committed() { done(); }
  void fail_all(const Error& why);

  std::uint64_t failures() const { return failures_ + (committed_ ? 0 : 1); }
  repo::Head before() const { return before_; }
  repo::Head last() const { return last_; }
  std::span<const Entry> entries() const { return entries_; }
  Jobs& jobs() { return jobs_; }

 private:
  enum class Mode { AsDeclared, AllGuarded };
  /// Thrown when a bare job broke its promise: the batch is repeated with guards.
  struct NeedsGuards {};

  void attempt(store::Connection& c, Shared* shared, Mode mode);
  void run_bare(Tx& tx, Journal::Job& job);
  void run_guarded(Tx& tx, Journal::Job& job, Mode mode);
  bool apply(Tx& tx, Journal::Job& job);
  /// Sets the job's outcome where it must not run: decided on what is not so (any more), or done before.
  bool settled_already(store::Connection& c, Shared* shared, Journal::Job& job);
  void done();

  Jobs jobs_;
  repo::Head before_;
  repo::Head last_;
  const std::uint64_t failures_;
  std::vector<Entry> entries_;
  repo::Head reached_;  ///< what last_ becomes with the commit
  bool committed_ = false;
  bool in_doubt_ = false;
};

}  // namespace haechi::journal
