#include "journal/journal.hpp"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <thread>

#include "base/log.hpp"
#include "base/text.hpp"
#include "journal/batch.hpp"
#include "journal/keys.hpp"
#include "journal/repo_sql.hpp"
#include "journal/shared.hpp"
#include "journal/upkeep.hpp"

namespace haechi::journal {
namespace {

using std::chrono::steady_clock;

/// While commands wait, one batch in so many carries a piece of maintenance.
constexpr int kBatchesPerChore = 8;
constexpr auto kStopWait = std::chrono::seconds(30);
constexpr auto kProbeEvery = std::chrono::seconds(2);
/// No other server begins to acknowledge sooner after this node's last acknowledged commit: a site
/// has to be silent for longer before its database is replaced.
constexpr Duration kProofHolds = std::chrono::milliseconds(900);
/// On a shared database: longer than a switch to another site lasts.
constexpr auto kSilentMax = std::chrono::seconds(8);
constexpr Duration kChoreRest = std::chrono::seconds(3);

class Category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "journal"; }
  std::string message(int value) const override {
    switch (static_cast<Errc>(value)) {
      case Errc::Ok: return "ok";
      case Errc::Full: return "too many commands are waiting";
      case Errc::Failed: return "the command could not be stored";
      case Errc::ShuttingDown: return "shutting down";
      case Errc::Stale: return "another node was quicker";
      case Errc::Late: return "not stored in time; it may still be";
    }
    return "unknown error";
  }
};

class JournalImpl final : public Journal {
 public:
  JournalImpl(Loop& loop, store::Database& db, store::Readers& readers, const Clock& clock, Metrics& metrics,
              Options options)
      : loop_(loop),
        db_(db),
        readers_(readers),
        clock_(clock),
        options_(options),
        keys_(loop, readers, options),
        upkeep_(options_, keys_, clock),
        commands_total_(metrics.counter("haechi_journal_commands_total", "Commands that were answered")),
        batches_total_(metrics.counter("haechi_journal_batches_total", "Transactions committed")),
        commit_seconds_(metrics.histogram("haechi_journal_commit_seconds", "From taking a batch to its commit")) {
    const std::weak_ptr<int> alive = alive_;
    metrics.gauge("haechi_journal_queue", "Commands that wait for their commit",
                  [this, alive] { return alive.expired() ? 0.0 : static_cast<double>(outstanding_); });
    metrics.gauge("haechi_journal_position", "The newest position",
                  [this, alive] { return alive.expired() ? 0.0 : static_cast<double>(position_); });
  }

  ~JournalImpl() override {
    end_thread();
    if (wake_fd_ >= 0) ::close(wake_fd_);
  }

  void load() {
    connection_ = db_.connect(store::Access::ReadWrite);
    last_ = repo::read_head(*connection_);
    keys_.load(*connection_);
    upkeep_.load(*connection_, last_);
    position_ = last_.pos;
    commands_ = last_.command;
    if (!db_.shared()) return;
    wake_fd_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wake_fd_ < 0) throw store::SqlError("no descriptor is left");
    shared_ = std::make_unique<Shared>(
        Shared::Needs{.db = db_,
                      .node_id = options_.node_id,
                      .tell =
                          [this](News news) {
                            loop_.post([this, alive = std::weak_ptr<int>(alive_), news = std::move(news)] {
                              if (!alive.expired()) hear(news);
                            });
                          },
                      .stopping =
                          [this] {
                            const std::lock_guard lock(mutex_);
                            return stopping_;
                          },
                      .wall_ms = [this] { return clock_.wall_ms(); },
                      .proven =
                          [this] {
                            if (!want_proof_.exchange(false, std::memory_order_relaxed)) return;
                            loop_.post([this, alive = std::weak_ptr<int>(alive_)] {
                              if (!alive.expired() && !asking_now_ && !asking_.empty()) scope_.spawn(ask_head());
                            });
                          },
                      .diverged = options_.on_diverged});
    shared_->begin_at(last_, repo::mark_at(*connection_, last_.pos));
    upkeep_.share(*shared_);
    connection_.reset();
  }

  void subscribe(std::function<void(std::span<const Entry>)> follow) override {
    followers_.push_back(std::move(follow));
  }
  void maintain(store::LateIndex& index) override { upkeep_.maintain(index); }

  void start() override {
    started_ = true;
    if (shared_) {
      for (auto& [kind, reader] : stored_readers_) shared_->read_stored(kind, std::move(reader));
      for (const auto* index : upkeep_.indexes()) shared_->maintain(*index);
      thread_ = std::thread([this] { shared_loop(); });
      pthread_setname_np(thread_.native_handle(), "commit");
    } else if (!options_.inline_commits) {
      thread_ = std::thread([this] { commit_loop(); });
      pthread_setname_np(thread_.native_handle(), "commit");
    }
    if (!staged_.empty()) hand_over_soon();
  }

  Task<void> stop() override {
    accepting_ = false;
    if (!started_) {
      for (auto& job : std::exchange(staged_, {})) job->finish(Error(Errc::ShuttingDown, "shutting down"));
      outstanding_ = 0;
    }
    const Instant deadline = loop_.now() + kStopWait;
    while (busy() && loop_.now() < deadline) {
      Waiter waiter(loop_);
      drained_ = &waiter;
      co_await waiter.wait(deadline);
      drained_ = nullptr;
    }
    end_thread();
    co_await scope_.join();
    connection_.reset();
  }

  Task<Result<Claim>> claim(CommandKey key) override {
    const auto name = Keys::name_of(key);
    const Instant deadline = keys_.held(name.hash) ? loop_.now() + options_.claim_wait_max : Instant{};
    while (keys_.held(name.hash)) CO_TRY_DO(co_await keys_.wait_for_holder(name.hash, deadline));

    auto known = keys_.look_up(name);
    if (known.answer) co_return make_answered(*std::move(known.answer));
    keys_.hold(name.hash);
    Claim mine = make_claim(name.hash, name.full_key, commands_);
    if (!known.read_needed) co_return std::move(mine);
    CO_TRY(auto answer, co_await keys_.read(name, std::move(known.candidates)));
    if (answer) co_return make_answered(*std::move(answer));
    co_return std::move(mine);
  }

  Task<Result<std::vector<Entry>>> read_feed(Position from, std::size_t limit) override {
    return readers_.read(
        [from, limit](store::Connection& c) -> Result<std::vector<Entry>> { return repo::read_feed(c, from, limit); });
  }

  void read_stored(Kind kind, StoredReader reader) override { stored_readers_.emplace_back(kind, std::move(reader)); }

  Task<bool> fresh(Duration at_most) override {
    if (!shared_) co_return true;
    const Instant deadline = loop_.now() + at_most;
    Waiter waiter(loop_);
    Asking mine{.waiter = &waiter, .turn = ++asked_};
    asking_.push_back(&mine);
    if (!asking_now_) scope_.spawn(ask_head());
    const Wake why = co_await waiter.wait(deadline);
    std::erase(asking_, &mine);
    co_return why == Wake::Signalled;
  }

  void broadcast(std::string_view topic, std::string_view message) override {
    if (!shared_) return;
    shared_->say(topic, message);
    wake_up();
  }
  void on_broadcast(std::string topic, std::function<void(std::string_view)> hear) override {
    hearers_.emplace_back(std::move(topic), std::move(hear));
  }
  const std::string& node_id() const override { return options_.node_id; }
  bool shared() const override { return db_.shared(); }
  bool cut_off() const override { return shared_ && options_.cut_off(); }

  std::size_t queued() const override { return outstanding_; }
  bool healthy() const override {
    if (shared_) return !started_ || loop_.now() - shared_->last_contact() < kSilentMax;
    return healthy_;
  }

 protected:
  Result<> enqueue(std::unique_ptr<Job> job) override {
    if (!accepting_) return fail(Errc::ShuttingDown, "shutting down");
    if (outstanding_ >= options_.queue_max) {
      return fail(Errc::Full, "too many commands are waiting", R"("retry_after_ms":1000)");
    }
    ++outstanding_;
    job->failures_known = failures_known_;
    if (shared_) {
      // The database may be on its way to another site: nobody waits for it for ever.
      loop_.timers().arm(job->late, loop_.now() + options_.answer_max, [late = job.get()] {
        late->finish(Error(Errc::Late, "the database cannot be reached", R"("retry_after_ms":2000)"));
      });
    }
    stage(std::move(job));
    return {};
  }

  void release_claim(std::uint64_t hash) noexcept override { keys_.release(hash); }

 private:
  /// Upkeep runs as a command of its own.
  struct ChoreJob final : Job {
    ChoreJob(JournalImpl& j, Upkeep::Chore c) : Job(Guard::Bare), journal(j), chore(std::move(c)) { internal = true; }
    bool apply(Tx& tx) override {
      did = chore.work(tx);
      return true;
    }
    void finish() override {
      journal.chore_running_ = false;
      if (did) return chore.done();
      journal.no_chores_before_ = journal.loop_.now() + kChoreRest;  // another node's to do
    }
    void finish(Error) override { journal.chore_running_ = false; }
    JournalImpl& journal;
    Upkeep::Chore chore;
    bool did = false;
  };

  /// Somebody who waits until this node is as far as the database was.
  struct Asking {
    Waiter* waiter = nullptr;
    std::uint64_t turn = 0;        ///< in the order of asking
    std::optional<Position> upto;  ///< not known yet: the database is still to be asked
  };

  // Loop thread.

  /// What one turn of the loop submits is handed over together: one lock, one wake.
  void stage(std::unique_ptr<Job> job) {
    staged_.push_back(std::move(job));
    if (started_) hand_over_soon();
  }

  void hand_over_soon() {
    if (std::exchange(hand_over_posted_, true)) return;
    loop_.post([this, alive = std::weak_ptr<int>(alive_)] {
      if (!alive.expired()) hand_over();
    });
  }

  void hand_over() {
    hand_over_posted_ = false;
    const WallMs wall_ms = clock_.wall_ms();
    for (auto& job : staged_) job->wall_ms = wall_ms;
    if (options_.inline_commits && !shared_) {
      if (!connection_) return;
      auto batch = run_batch(std::exchange(staged_, {}));
      complete(*batch);
      db_.checkpoint(*connection_);
      return;
    }
    bool wake = false;
    {
      const std::lock_guard lock(mutex_);
      if (pending_.empty()) pending_.swap(staged_);
      else std::ranges::move(staged_, std::back_inserter(pending_));
      wake = sleeping_;
    }
    staged_.clear();
    if (wake) wake_up();
  }

  void wake_up() {
    if (!shared_) return more_.notify_one();
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_fd_, &one, sizeof one);  // full is as good: it wakes too
  }

  void complete(Batch& batch) {
    healthy_ = batch.committed();
    for (const auto& job : batch.jobs()) {
      if (!batch.committed() || job->command_pos == 0) continue;
      keys_.recorded(job->key_hash, job->command_pos, std::move(job->full_key), std::string(job->answer()));
    }
    if (!batch.entries().empty()) tell_followers(batch.entries());
    // A failed batch of a shared database did not see how far the others are.
    position_ = std::max(position_, batch.last().pos);
    commands_ = std::max(commands_, batch.last().command);

    const auto answered =
        static_cast<std::size_t>(std::ranges::count_if(batch.jobs(), [](const auto& job) { return !job->internal; }));
    outstanding_ -= answered;
    commands_total_.add(answered);
    for (auto& job : batch.jobs()) {
      if (shared_) loop_.timers().disarm(job->late);
      if (job->failure) job->finish(*std::move(job->failure));
      else if (!batch.committed()) job->finish(Error(Errc::Failed, "not committed"));
      else if (job->earlier_answer) job->finish_as(*std::move(job->earlier_answer));
      else job->finish();
    }
    // Only now has everybody heard of a failure: commands from here on are decided on what is stored.
    failures_known_ = batch.failures();
    if (!busy() && drained_) drained_->notify();
    wake_asking();
    if (healthy_) do_chores();
    else probe_later();
  }

  /// What other nodes committed and said.
  void hear(const News& news) {
    for (const auto& r : news.commands) keys_.recorded_elsewhere(r.key_hash, r.pos);
    for (const auto& e : news.entries) {
      if (e.kind == kIndexSegment) upkeep_.follow(e);
    }
    if (!news.entries.empty()) tell_followers(news.entries);
    position_ = std::max(position_, news.upto.pos);
    commands_ = std::max(commands_, news.upto.command);
    wake_asking();
    for (const auto& [topic, message] : news.heard) {
      for (auto& [name, hear_it] : hearers_) {
        if (name == topic) hear_it(message);
      }
    }
  }

  /// Asks where the database is, once for everybody who waits by then.
  Task<void> ask_head() {
    asking_now_ = true;
    const auto unasked = [](const Asking* a) { return !a->upto; };
    while (std::ranges::any_of(asking_, unasked)) {
      const auto asked = asked_;
      auto head =
          co_await readers_.read([](store::Connection& c) -> Result<Position> { return repo::read_head(c).pos; });
      if (!head) break;
      if (steady_clock::now() - shared_->last_proof() > kProofHolds) {
        // A server that is cut off answers, but acknowledges nothing: what it says may be old.
        want_proof_.store(true, std::memory_order_relaxed);
        break;
      }
      for (auto* a : asking_) {
        if (a->turn <= asked && !a->upto) a->upto = *head;
      }
      wake_asking();
    }
    asking_now_ = false;
  }

  void wake_asking() {
    for (auto* a : asking_) {
      if (a->upto && *a->upto <= position_) a->waiter->notify();
    }
  }

  void tell_followers(std::span<const Entry> entries) {
    for (auto& follow : followers_) {
      try {
        follow(entries);
      } catch (const std::exception& e) {
        // The entries are durable: the callers must get their answers whatever a follower does.
        log::error("a follower of the journal failed", {{"error", e.what()}});
      }
    }
  }

  void do_chores() {
    if (chore_running_ || !accepting_ || loop_.now() < no_chores_before_) return;
    if (outstanding_ > 0 && ++batches_since_chore_ < kBatchesPerChore) return;
    batches_since_chore_ = 0;
    if (auto next = upkeep_.next(position_, commands_)) chore(*std::move(next));
  }

  void chore(Upkeep::Chore c) {
    chore_running_ = true;
    stage(std::make_unique<ChoreJob>(*this, std::move(c)));
  }

  /// A node that refuses work because the store failed would never see it work again.
  void probe_later() {
    loop_.timers().arm(probe_timer_, loop_.now() + kProbeEvery, [this] {
      if (healthy_ || !accepting_ || chore_running_) return;
      chore({[](Tx& tx) { return repo::probe(tx.sql()), true; }, [] {}});
    });
  }

  bool busy() const { return outstanding_ > 0 || chore_running_; }

  void end_thread() {
    if (!thread_.joinable()) return;
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_up();
    thread_.join();
  }

  // Commit thread (the loop thread with inline commits).

  void commit_loop() {
    Batch::Jobs taken;
    while (true) {
      {
        std::unique_lock lock(mutex_);
        while (pending_.empty() && !stopping_) {
          sleeping_ = true;
          more_.wait(lock);
        }
        sleeping_ = false;
        if (pending_.empty()) return;
        taken.swap(pending_);
      }
      run_all(std::exchange(taken, {}));
    }
  }

  void shared_loop() {
    while (true) {
      Batch::Jobs taken;
      bool end = false;
      {
        const std::lock_guard lock(mutex_);
        taken.swap(pending_);
        end = stopping_ && taken.empty();
        sleeping_ = taken.empty();
      }
      if (end) return;
      if (taken.empty()) {
        shared_->idle(wake_fd_);
        std::uint64_t woken = 0;
        [[maybe_unused]] const auto n = ::read(wake_fd_, &woken, sizeof woken);
        continue;
      }
      run_all(std::move(taken));
    }
  }

  void run_all(Batch::Jobs taken) {
    auto rest = std::span(taken);
    while (!rest.empty()) {
      const auto part = rest.first(std::min(rest.size(), options_.batch_max));
      rest = rest.subspan(part.size());
      Batch::Jobs jobs(std::make_move_iterator(part.begin()), std::make_move_iterator(part.end()));
      loop_.post([this, alive = std::weak_ptr<int>(alive_), batch = run_batch(std::move(jobs))] {
        if (!alive.expired()) complete(*batch);
      });
      if (!shared_) db_.checkpoint(*connection_);
    }
  }

  std::unique_ptr<Batch> run_batch(Batch::Jobs jobs) {
    const auto begin = steady_clock::now();
    auto batch = std::make_unique<Batch>(std::move(jobs), last_, failures_);
    if (shared_) shared_->run(*batch);
    else batch->run(*connection_);
    failures_ = batch->failures();
    last_ = batch->last();
    if (batch->committed()) batches_total_.add();
    commit_seconds_.observe(std::chrono::duration<double>(steady_clock::now() - begin).count());
    return batch;
  }

  Loop& loop_;
  store::Database& db_;
  store::Readers& readers_;
  const Clock& clock_;
  const Options options_;

  // Loop thread.
  Keys keys_;
  Upkeep upkeep_;
  Counter& commands_total_;
  Counter& batches_total_;
  Histogram& commit_seconds_;
  std::vector<std::function<void(std::span<const Entry>)>> followers_;
  std::vector<std::pair<Kind, StoredReader>> stored_readers_;
  std::vector<std::pair<std::string, std::function<void(std::string_view)>>> hearers_;
  std::unique_ptr<Shared> shared_;  ///< after start() the commit thread's; null where the database is ours alone
  std::vector<Asking*> asking_;
  std::uint64_t asked_ = 0;
  bool asking_now_ = false;
  Instant no_chores_before_{};
  Batch::Jobs staged_;
  std::size_t outstanding_ = 0;
  bool started_ = false;
  bool accepting_ = true;
  bool healthy_ = true;
  std::uint64_t failures_known_ = 0;  ///< failed commits that every caller has heard of
  bool hand_over_posted_ = false;
  bool chore_running_ = false;
  int batches_since_chore_ = 0;
  std::int64_t commands_ = 0;  ///< the newest idempotency record
  Waiter* drained_ = nullptr;
  TimerQueue::Timer probe_timer_;
  const std::shared_ptr<int> alive_ = std::make_shared<int>();  ///< posted functions hold it weakly

  // Between them.
  std::mutex mutex_;
  std::condition_variable more_;
  Batch::Jobs pending_;
  bool sleeping_ = false;
  bool stopping_ = false;
  int wake_fd_ = -1;
  std::atomic<bool> want_proof_{false};  ///< somebody asks how far the database is

  // Commit thread.
  std::unique_ptr<store::Connection> connection_;
  repo::Head last_;
  std::uint64_t failures_ = 0;
  std::thread thread_;
  Scope scope_;
};

}  // namespace

const std::error_category& journal_category() noexcept {
  static const Category category;
  return category;
}

Result<std::unique_ptr<Journal>> Journal::create(Loop& loop, store::Database& db, store::Readers& readers,
                                                 const Clock& clock, Metrics& metrics, Options options) try {
  auto journal = std::make_unique<JournalImpl>(loop, db, readers, clock, metrics, options);
  journal->load();
  return journal;
} catch (const store::SqlError& e) {
  return fail(haechi::Errc::Io, std::string("journal: ") + e.what());
}

std::span<const store::Migration> Journal::migrations() { return repo::migrations(); }

Claim Journal::make_claim(std::uint64_t hash, std::string full_key, std::int64_t known) {
  Claim c;
  c.journal_ = this;
  c.hash_ = hash;
  c.known_ = known;
  c.full_key_ = std::move(full_key);
  return c;
}

Claim Journal::make_answered(std::string answer) {
  Claim c;
  c.answer_ = std::move(answer);
  return c;
}

Claim::Claim(Claim&& o) noexcept
    : journal_(std::exchange(o.journal_, nullptr)),
      hash_(o.hash_),
      known_(o.known_),
      full_key_(std::move(o.full_key_)),
      answer_(std::move(o.answer_)) {}

Claim& Claim::operator=(Claim&& o) noexcept {
  if (this == &o) return *this;
  release();
  journal_ = std::exchange(o.journal_, nullptr);
  hash_ = o.hash_;
  known_ = o.known_;
  full_key_ = std::move(o.full_key_);
  answer_ = std::move(o.answer_);
  return *this;
}

Claim::~Claim() { release(); }

void Claim::release() noexcept {
  if (auto* journal = std::exchange(journal_, nullptr)) journal->release_claim(hash_);
}

Position Tx::append(Kind kind, std::string_view subject, std::string_view data, std::shared_ptr<const Payload> local) {
  repo::add_feed(sql_, last_ + 1, kind, subject, data);
  ++last_;
  entries_.push_back({last_, kind, std::string(subject), std::string(data), std::move(local)});
  return last_;
}

Position Tx::append_stored(Kind kind, std::shared_ptr<const Payload> local, std::int64_t topic) {
  ++last_;
  entries_.push_back({last_, kind, {}, {}, std::move(local), topic});
  return last_;
}

}  // namespace haechi::journal
