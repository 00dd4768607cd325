#include "journal/batch.hpp"

#include "base/log.hpp"
#include "journal/repo_sql.hpp"

namespace haechi::journal {

void Batch::run(store::Connection& c) {
  for (const Mode mode : {Mode::AsDeclared, Mode::AllGuarded}) {
    try {
      attempt(c, mode);
      committed_ = true;
      return;
    } catch (const NeedsGuards&) {
      c.rollback();
    } catch (const std::exception& e) {
      c.rollback();
      return fail_all(e.what());
    }
  }
}

void Batch::attempt(store::Connection& c, Mode mode) {
  last_command_ = commands_before_;
  c.begin();
  Tx tx(c, before_);
  for (auto& job : jobs_) {
    job->failure.reset();
    job->command_pos = 0;
    if (!job->internal && job->failures_known != failures_) {
      job->failure.emplace(Errc::Failed, "a command that this one may build on was not stored");
      continue;
    }
    tx.wall_ms_ = job->wall_ms;
    if (mode == Mode::AsDeclared && job->guard == Guard::Bare) run_bare(tx, *job);
    else run_guarded(tx, *job);
  }
  if (tx.last_ != before_) repo::write_head(c, tx.last_);
  c.commit();
  last_ = tx.last_;
  entries_ = std::move(tx.entries_);
}

/// Applies the command and records its answer; false when it refused.
bool Batch::apply(Tx& tx, Journal::Job& job) {
  if (!job.apply(tx)) return false;
  if (!job.full_key.empty()) {
    repo::add_command(tx.sql_, last_command_ + 1, job.key_hash, job.full_key, job.answer(), job.wall_ms);
    job.command_pos = ++last_command_;
  }
  return true;
}

void Batch::run_bare(Tx& tx, Journal::Job& job) {
  const Position mark = tx.last_;
  bool applied = false;
  try {
    applied = apply(tx, job);
  } catch (const std::exception& e) {
    log::warn("a bare command failed; its batch is repeated", {{"error", e.what()}});
    throw NeedsGuards{};
  }
  if (!applied && tx.last_ != mark) throw NeedsGuards{};
}

void Batch::run_guarded(Tx& tx, Journal::Job& job) {
  const Position mark = tx.last_;
  const auto entries = tx.entries_.size();
  const auto command = last_command_;
  tx.sql_.savepoint();
  try {
    if (apply(tx, job)) return tx.sql_.release();
  } catch (const std::exception& e) {
    job.failure.emplace(Errc::Failed, e.what());
    log::error("a command failed", {{"error", e.what()}});
  }
  tx.sql_.rollback_to();
  tx.last_ = mark;
  tx.entries_.resize(entries);
  last_command_ = command;
  job.command_pos = 0;
}

void Batch::fail_all(std::string_view why) {
  log::error("a batch was not committed", {{"commands", jobs_.size()}, {"error", why}});
  last_ = before_;
  last_command_ = commands_before_;
  entries_.clear();
  for (auto& job : jobs_) {
    job->command_pos = 0;
    job->failure.emplace(Errc::Failed, std::string(why));
  }
}

}  // namespace haechi::journal
