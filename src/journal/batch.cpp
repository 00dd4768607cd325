#include "journal/batch.hpp"

#include "base/log.hpp"
#include "journal/shared.hpp"

namespace haechi::journal {

void Batch::run(store::Connection& c, Shared* shared) {
  in_doubt_ = false;
  for (const Mode mode : {Mode::AsDeclared, Mode::AllGuarded}) {
    try {
      return attempt(c, shared, mode);
    } catch (const NeedsGuards&) {
      c.rollback();
    } catch (const store::ConnectionLost&) {
      throw;
    } catch (const store::Exhausted& e) {
      c.rollback();
      if (shared) throw;
      return fail_all({Errc::Failed, e.what()});
    } catch (const store::SqlError& e) {
      c.rollback();
      // A statement of some command failed on its way with others: with every command flushed on
      // its own it is found, and only that one fails.
      if (!shared || mode == Mode::AllGuarded) return fail_all({Errc::Failed, e.what()});
    } catch (const std::exception& e) {
      c.rollback();
      return fail_all({Errc::Failed, e.what()});
    }
  }
}

void Batch::attempt(store::Connection& c, Shared* shared, Mode mode) {
  c.begin();
  if (shared) before_ = shared->take_turn(c);
  last_ = reached_ = before_;
  Tx tx(c, before_.pos);
  for (auto& job : jobs_) {
    job->failure.reset();
    job->earlier_answer.reset();
    job->command_pos = 0;
    if (settled_already(c, shared, *job)) continue;
    tx.wall_ms_ = job->wall_ms;
    if (mode == Mode::AsDeclared && job->guard == Guard::Bare) run_bare(tx, *job);
    else run_guarded(tx, *job, mode);
    if (shared && job->command_pos != 0) shared->remember(job->key_hash, job->command_pos);
  }
  reached_.pos = tx.last_;
  entries_ = std::move(tx.entries_);
  if (reached_ != before_) repo::write_head(c, reached_);
  if (shared) shared->sign(c, before_, reached_);
  in_doubt_ = shared != nullptr;
  c.commit();
  done();
}

void Batch::done() {
  last_ = reached_;
  committed_ = true;
  in_doubt_ = false;
}

bool Batch::settled_already(store::Connection& c, Shared* shared, Journal::Job& job) {
  if (job.internal) return false;
  if (job.failures_known != failures_) {
    job.failure.emplace(Errc::Failed, "a command that this one may build on was not stored");
    return true;
  }
  if (!shared) return false;
  if (!job.full_key.empty()) {
    job.earlier_answer = shared->earlier_answer(c, job.key_hash, job.full_key, job.commands_known);
    if (job.earlier_answer) return true;
  }
  if (shared->stale(job.basis)) {
    job.failure.emplace(Errc::Stale, "another node was quicker");
    return true;
  }
  return false;
}

/// Applies the command and records its answer; false when it refused.
bool Batch::apply(Tx& tx, Journal::Job& job) {
  if (!job.apply(tx)) return false;
  if (!job.full_key.empty()) {
    repo::add_command(tx.sql_, reached_.command + 1, job.key_hash, job.full_key, job.answer(), job.wall_ms);
    job.command_pos = ++reached_.command;
  }
  return true;
}

void Batch::run_bare(Tx& tx, Journal::Job& job) {
  const Position mark = tx.last_;
  bool applied = false;
  try {
    applied = apply(tx, job);
  } catch (const store::ConnectionLost&) {
    throw;
  } catch (const store::Exhausted&) {
    throw;
  } catch (const std::exception& e) {
    log::warn("a bare command failed; its batch is repeated", {{"error", e.what()}});
    throw NeedsGuards{};
  }
  if (!applied && tx.last_ != mark) throw NeedsGuards{};
}

void Batch::run_guarded(Tx& tx, Journal::Job& job, Mode mode) {
  const Position mark = tx.last_;
  const auto entries = tx.entries_.size();
  const auto command = reached_.command;
  tx.sql_.savepoint();
  try {
    if (apply(tx, job)) {
      // In the first run statements may travel together and be answered with the commit.
      if (mode == Mode::AllGuarded) tx.sql_.flush();
      return tx.sql_.release();
    }
  } catch (const store::ConnectionLost&) {
    throw;
  } catch (const store::Exhausted&) {
    throw;
  } catch (const std::exception& e) {
    // With statements travelling together it may be an earlier command's that went wrong.
    if (tx.sql_.defers() && mode == Mode::AsDeclared) throw NeedsGuards{};
    job.failure.emplace(Errc::Failed, e.what());
    log::error("a command failed", {{"error", e.what()}});
  }
  tx.sql_.rollback_to();
  tx.last_ = mark;
  tx.entries_.resize(entries);
  reached_.command = command;
  job.command_pos = 0;
}

void Batch::fail_all(const Error& why) {
  log::error("a batch was not committed", {{"commands", jobs_.size()}, {"error", why.message}});
  last_ = before_;
  entries_.clear();
  in_doubt_ = false;
  for (auto& job : jobs_) {
    job->command_pos = 0;
    job->earlier_answer.reset();
    job->failure = why;
  }
}

}  // namespace haechi::journal
