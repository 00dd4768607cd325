#pragma once
// What the commit thread does with the commands it took: one transaction.

#include "journal/journal.hpp"

namespace haechi::journal {

/// Commit thread, then handed to the loop.
class Batch {
 public:
  using Jobs = std::vector<std::unique_ptr<Journal::Job>>;

  /// `failures`: failed commits so far. Commands submitted before their submitter could know of
  /// the last one fail too: what they were decided on may never have happened.
  Batch(Jobs jobs, Position last, std::int64_t last_command, std::uint64_t failures)
      : jobs_(std::move(jobs)), before_(last), commands_before_(last_command), failures_(failures) {}

  /// Runs every job and commits. Afterwards each job either has its result or a
  /// `failure`; nothing of a failed one is in the database.
  void run(store::Connection& c);

  bool committed() const { return committed_; }
  std::uint64_t failures() const { return failures_ + (committed_ ? 0 : 1); }
  Position last() const { return last_; }
  std::int64_t last_command() const { return last_command_; }
  std::span<const Entry> entries() const { return entries_; }
  Jobs& jobs() { return jobs_; }

 private:
  enum class Mode { AsDeclared, AllGuarded };
  /// Thrown when a bare job broke its promise: the batch is repeated with guards.
  struct NeedsGuards {};

  void attempt(store::Connection& c, Mode mode);
  void run_bare(Tx& tx, Journal::Job& job);
  void run_guarded(Tx& tx, Journal::Job& job);
  bool apply(Tx& tx, Journal::Job& job);
  void fail_all(std::string_view why);

  Jobs jobs_;
  const Position before_;
  const std::int64_t commands_before_;
  const std::uint64_t failures_;
  Position last_ = before_;
  std::int64_t last_command_ = commands_before_;
  std::vector<Entry> entries_;
  bool committed_ = false;
};

}  // namespace haechi::journal
