#include "store/postgres_connection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/log.hpp"

namespace haechi::store {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr Sql kNotify{"SELECT pg_notify($1, $2)"};
constexpr Sql kExclusive{"SELECT pg_advisory_xact_lock(741025831926)"};  // any number that nobody else uses

/// Fewer rows than this are not worth an array.
constexpr std::size_t kGatherMin = 4;
constexpr std::size_t kGatherMax = 10'000;
/// What waits to be sent is sent when it has grown so large.
constexpr std::size_t kUnsentBytesMax = 8u << 20;
/// Between two looks at the other servers.
constexpr Duration kLookPause = 200ms;
/// A server that has been quiet for so long while its notices are waited for is asked for a sign of life.
constexpr Duration kHeartbeat = 1s;
constexpr int kLongestPoll = 60'000;

std::string first_line(const char* text) {
  const std::string_view all = text ? text : "";
  return std::string(all.substr(0, all.find('\n')));
}

std::string field(const PGresult* result, int which) {
  const char* value = PQresultErrorField(result, which);
  return value ? value : "";
}

template <class F>
void each_row(const PGresult& result, const F& row) {
  PostgresRow view(&result);
  const int rows = PQntuples(&result);
  for (int i = 0; i < rows; ++i) {
    view.to(i);
    row(view);
  }
}

bool succeeded(const PGresult* result) {
  const auto status = PQresultStatus(result);
  return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

}  // namespace

PostgresConnection::PostgresConnection(Primary server, std::shared_ptr<Finder> finder, Access access)
    : connection_(std::move(server.connection)),
      host_(server.host),
      timeline_(server.timeline),
      finder_(std::move(finder)),
      access_(access),
      heard_(steady_clock::now()) {
  PQsetNoticeReceiver(connection_.get(), &receive_notice, this);
  if (PQenterPipelineMode(connection_.get()) == 0) lose("pipeline mode was refused");
}

void PostgresConnection::receive_notice(void* self, const PGresult* notice) {
  auto& c = *static_cast<PostgresConnection*>(self);
  if (field(notice, PG_DIAG_SEVERITY_NONLOCALIZED) == "WARNING") c.warning_ = field(notice, PG_DIAG_MESSAGE_PRIMARY);
}

void PostgresConnection::lose(std::string_view why) {
  const std::string what = fmt::format("{}: {}", finder_->options().hosts[host_], why);
  // Closes the socket and no more: a commit that waits for its second copy must not be cancelled.
  connection_.reset();
  expected_.clear();
  probes_.clear();
  asked_.reset();
  savepoints_.clear();
  clear_unsent();
  in_transaction_ = begun_ = aborted_ = false;
  log::warn("the connection to the database is lost", {{"reason", what}});
  throw ConnectionLost(what);
}

void PostgresConnection::require_usable() const {
  if (!connection_) throw ConnectionLost("the connection to the database was lost before");
  if (aborted_) throw SqlError("the transaction has failed before");
}

// What is kept back.

void PostgresConnection::append(const Sql& sql, std::span<const Value> args) {
  require_usable();
  auto& statement = statements_.find(sql);
  if (args.size() != statement.placeholders) {
    throw SqlError(fmt::format("{} values for {} placeholders in: {}", args.size(), statement.placeholders, sql.text));
  }
  const std::size_t first = values_.count();
  values_.append(args, sql.text);
  unsent_.push_back({Do::Statement, &statement, first, args.size()});
}

void PostgresConnection::control(Do what, std::uint64_t savepoint) {
  unsent_.push_back({what, nullptr, values_.count(), 0, savepoint});
}

void PostgresConnection::clear_unsent() {
  unsent_.clear();
  values_.clear();
}

void PostgresConnection::begin() {
  require_usable();
  if (in_transaction_) throw SqlError("a transaction has been begun already");
  if (!unsent_.empty()) flush();
  in_transaction_ = true;
  control(Do::Begin);
}

void PostgresConnection::commit() {
  require_usable();
  if (!in_transaction_) throw SqlError("there is no transaction to commit");
  if (!begun_ && std::ranges::none_of(unsent_, [](const Op& op) { return op.what == Do::Statement; })) {
    clear_unsent();
    savepoints_.clear();
    in_transaction_ = false;
    return;
  }
  control(Do::Commit);
  warning_.clear();
  const auto result = exchange(Last::Answered);
  if (begun_) lose("a commit left its transaction open");
  savepoints_.clear();
  in_transaction_ = false;
  if (std::strcmp(PQcmdStatus(result.get()), "COMMIT") != 0) {
    throw SqlError("the transaction had failed and was rolled back");
  }
  // The server says this when somebody made it stop waiting for the second copy: nobody knows yet
  // whether the commit will survive.
  if (!warning_.empty()) lose("committed, but: " + warning_);
}

void PostgresConnection::rollback() noexcept {
  clear_unsent();
  savepoints_.clear();
  in_transaction_ = aborted_ = false;
  if (!connection_ || !begun_) return;
  try {
    begun_ = false;
    send_text("ROLLBACK", {.ignored = true});
    send_sync();
    // Its answer is taken in before the next one; a server that never answers is found out then.
    if (PQflush(connection_.get()) < 0) lose(first_line(PQerrorMessage(connection_.get())));
  } catch (const SqlError&) {
    // The connection is closed, which ends the transaction as well.
  }
}

void PostgresConnection::savepoint() {
  require_usable();
  if (!in_transaction_) throw SqlError("a savepoint needs a transaction");
  savepoints_.push_back({++savepoints_made_});
  control(Do::Savepoint, savepoints_made_);
}

void PostgresConnection::release() {
  require_usable();
  if (savepoints_.empty()) throw SqlError("there is no savepoint to release");
  const auto id = savepoints_.back().id;
  savepoints_.pop_back();
  const auto op = std::ranges::find(unsent_, id, &Op::savepoint);
  // Nothing in it was answered, so nobody can have wanted to go back: it need not exist.
  if (op != unsent_.end()) op->what = Do::Nothing;
  else control(Do::Release, id);
}

void PostgresConnection::rollback_to() {
  if (!connection_) require_usable();
  if (savepoints_.empty()) throw SqlError("there is no savepoint to go back to");
  const auto savepoint = savepoints_.back();
  if (savepoint.established) {
    clear_unsent();  // all of it came later
    control(Do::RollbackTo, savepoint.id);
    control(Do::Release, savepoint.id);
    aborted_ = false;
  } else {
    // What failed was kept back from before the savepoint: going back to it would not undo it.
    if (aborted_) throw SqlError("the transaction had failed before its savepoint");
    const auto op = std::ranges::find(unsent_, savepoint.id, &Op::savepoint);
    values_.truncate(op->first);
    unsent_.erase(op, unsent_.end());
  }
  savepoints_.pop_back();
}

void PostgresConnection::flush() {
  require_usable();
  if (!unsent_.empty() || !expected_.empty()) exchange(Last::Deferred);
}

void PostgresConnection::exclusive() {
  append(kExclusive, {});
  exchange(Last::Answered, Patience::Endless);  // the other one may have much to do
}

void PostgresConnection::notify(std::string_view channel, std::string_view payload) { put(kNotify, channel, payload); }

std::int64_t PostgresConnection::run(const Sql& sql, std::span<const Value> args, const RowFn* row) {
  append(sql, args);
  const auto result = exchange(Last::Answered);
  if (row) each_row(*result, *row);
  const std::string_view done = PQcmdStatus(result.get());
  return done.starts_with("SELECT") ? 0 : std::atoll(PQcmdTuples(result.get()));
}

void PostgresConnection::defer(const Sql& sql, std::span<const Value> args) {
  if (!in_transaction_) {  // nothing may ever follow that takes it along
    run(sql, args, nullptr);
    return;
  }
  append(sql, args);
  if (values_.bytes() > kUnsentBytesMax) flush();
}

void PostgresConnection::query_ahead(const Sql& sql, std::span<const Value> args, std::function<void(const Row&)> row) {
  append(sql, args);
  unsent_.back().ahead = std::make_shared<const AheadFn>(std::move(row));
}

// Sending.

ResultPtr PostgresConnection::exchange(Last last, Patience patience) {
  std::optional<std::string> refused;
  try {
    send_unsent(last);
  } catch (const ConnectionLost&) {
    throw;
  } catch (const SqlError& e) {
    refused = e.what();  // a value that no server need see; what was sent before it has to be answered
  }
  clear_unsent();
  send_sync();
  asked_ = steady_clock::now();
  auto result = finish_answers(patience);
  if (refused) {
    aborted_ = in_transaction_;  // the rest was not sent
    throw SqlError(*refused);
  }
  raise_failure();
  if (last == Last::Answered && !result) lose("a statement got no answer");
  return result;
}

/// Whether the statement might see rows that wait to go together.
bool PostgresConnection::looks_at(const PostgresStatement& statement, const Groups& groups) {
  return statement.inserts_into.empty() || std::ranges::any_of(groups, [&](const auto& group) {
           return group.first->inserts_into == statement.inserts_into;
         });
}

void PostgresConnection::send_unsent(Last last) {
  Groups groups;
  for (std::size_t i = 0; i < unsent_.size(); ++i) {
    const Op& op = unsent_[i];
    const bool answered = last == Last::Answered && i + 1 == unsent_.size();
    if (op.what == Do::Nothing) continue;
    if (op.what == Do::Statement && op.statement->together && !answered) {
      auto group = std::ranges::find(groups, op.statement, [](const auto& g) { return g.first; });
      if (group == groups.end()) group = groups.insert(groups.end(), {op.statement, {}});
      group->second.push_back(op.first);
      continue;
    }
    if (op.what != Do::Statement || answered || looks_at(*op.statement, groups)) send_gathered(groups);
    if (op.what == Do::Statement) send_statement(op);
    else send_control(op);
  }
  send_gathered(groups);
}

void PostgresConnection::send_gathered(Groups& groups) {
  for (auto& [statement, rows] : groups) {
    auto rest = std::span<const std::size_t>(rows);
    while (!rest.empty()) {
      if (!statement->gathered || rest.size() < kGatherMin) {
        send_statement({Do::Statement, statement, rest.front(), statement->placeholders});
        rest = rest.subspan(1);
        continue;
      }
      const auto part = rest.first(std::min(rest.size(), kGatherMax));
      rest = rest.subspan(part.size());
      arguments_.set_arrays(values_, part, statement->types);
      prepare(*statement->gathered, nullptr);
      send_prepared(*statement->gathered, statement->single.text.c_str());
    }
  }
  groups.clear();
}

void PostgresConnection::send_statement(const Op& op) {
  auto& statement = *op.statement;
  if (statement.described != Prepared::State::Yes) {
    for (std::size_t n = 0; n < std::min<std::size_t>(op.count, 64); ++n) {
      const bool text = values_[op.first + n].kind == BoundValues::Item::Kind::Text;
      statement.text_bound |= std::uint64_t{text} << n;
    }
  }
  arguments_.set(values_, op.first, op.count);
  prepare(statement.single, &statement);
  send_prepared(statement.single, statement.single.text.c_str(), op.ahead);
}

void PostgresConnection::send_control(const Op& op) {
  const auto savepoint = [&](const char* verb) { return fmt::format("{} s{}", verb, op.savepoint); };
  switch (op.what) {
    case Do::Begin:
      begun_ = true;
      return send_text(access_ == Access::ReadWrite ? "BEGIN" : "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", {});
    case Do::Commit: return send_text("COMMIT", {});
    case Do::Savepoint:
      return send_text(savepoint("SAVEPOINT").c_str(),
                       {.kind = Expected::Kind::Savepoint, .savepoint = op.savepoint, .text = "SAVEPOINT"});
    case Do::Release: return send_text(savepoint("RELEASE").c_str(), {.text = "RELEASE"});
    case Do::RollbackTo: return send_text(savepoint("ROLLBACK TO").c_str(), {.text = "ROLLBACK TO"});
    case Do::Nothing:
    case Do::Statement: return;
  }
}

void PostgresConnection::send_text(const char* text, Expected expected) {
  if (*expected.text == '\0') expected.text = text;
  expect(PQsendQueryParams(connection_.get(), text, 0, nullptr, nullptr, nullptr, nullptr, 1), std::move(expected));
}

void PostgresConnection::prepare(Prepared& prepared, PostgresStatement* described_with) {
  using enum Prepared::State;
  PGconn* c = connection_.get();
  if (prepared.state == No) {
    prepared.state = Sent;
    expect(PQsendPrepare(c, prepared.name.c_str(), prepared.text.c_str(), 0, nullptr),
           {.kind = Expected::Kind::Prepared, .prepared = &prepared, .text = prepared.text.c_str()});
  }
  if (described_with && described_with->described == No) {
    described_with->described = Sent;
    expect(PQsendDescribePrepared(c, prepared.name.c_str()),
           {.kind = Expected::Kind::Described, .statement = described_with, .text = prepared.text.c_str()});
  }
}

void PostgresConnection::send_prepared(Prepared& prepared, const char* text, std::shared_ptr<const AheadFn> ahead) {
  expect(PQsendQueryPrepared(connection_.get(), prepared.name.c_str(), arguments_.count(), arguments_.values(),
                             arguments_.lengths(), arguments_.formats(), 1),
         {.text = text, .ahead = std::move(ahead)});
}

void PostgresConnection::send_sync() { expect(PQpipelineSync(connection_.get()), {.kind = Expected::Kind::Sync}); }

void PostgresConnection::expect(int sent, Expected expected) {
  if (sent == 0) lose(first_line(PQerrorMessage(connection_.get())));
  expected_.push_back(std::move(expected));
}

// Answers.

bool PostgresConnection::take_answers() {
  PGconn* c = connection_.get();
  int nothings = 0;
  while (!expected_.empty()) {
    if (PQisBusy(c) != 0) return false;
    Expected& e = expected_.front();
    ResultPtr result(PQgetResult(c));
    if (PQstatus(c) == CONNECTION_BAD) {
      const bool said = result && !field(result.get(), PG_DIAG_MESSAGE_PRIMARY).empty();
      lose(said ? field(result.get(), PG_DIAG_MESSAGE_PRIMARY) : first_line(PQerrorMessage(c)));
    }
    if (e.kind == Expected::Kind::Sync) {
      if (!result && ++nothings > 2) lose("the server's answers ended early");
      if (!result) continue;
      nothings = 0;
      if (PQresultStatus(result.get()) == PGRES_PIPELINE_SYNC) expected_.pop_front();
      else settle(e, result);  // outside of a transaction the commit itself may fail
      continue;
    }
    if (result) {
      if (PQresultStatus(result.get()) == PGRES_PIPELINE_SYNC) lose("the server's answers are out of order");
      if (!e.result) e.result = std::move(result);
      continue;
    }
    if (!e.result) lose("the server's answers ended early");
    settle(e, e.result);
    expected_.pop_front();
  }
  return true;
}

/// What goes wrong here is told once all answers have been taken in.
template <class F>
void PostgresConnection::guarded(F work) {
  try {
    work();
  } catch (const std::exception& e) {
    if (!failure_) failure_ = Failure{{}, e.what()};
  }
}

void PostgresConnection::settle(Expected& e, ResultPtr& result) {
  const bool done = succeeded(result.get());
  if (e.prepared) e.prepared->state = done ? Prepared::State::Yes : Prepared::State::No;
  if (e.statement) e.statement->described = Prepared::State::No;
  if (!done) {
    if (e.ignored || failure_ || PQresultStatus(result.get()) == PGRES_PIPELINE_ABORTED) return;
    auto state = field(result.get(), PG_DIAG_SQLSTATE);
    auto what = fmt::format("{} ({}) in: {}", field(result.get(), PG_DIAG_MESSAGE_PRIMARY), state,
                            std::string_view(e.text).substr(0, 60));
    failure_ = Failure{std::move(state), std::move(what)};
    return;
  }
  switch (e.kind) {
    case Expected::Kind::Described: {
      std::vector<Oid> types;
      for (int n = 0; n < PQnparams(result.get()); ++n) types.push_back(PQparamtype(result.get(), n));
      guarded([&] { e.statement->describe(std::move(types)); });
      return;
    }
    case Expected::Kind::Savepoint: {
      const auto it = std::ranges::find(savepoints_, e.savepoint, &Savepoint::id);
      if (it != savepoints_.end()) it->established = true;
      return;
    }
    case Expected::Kind::Result:
      if (e.ahead) guarded([&] { each_row(*result, *e.ahead); });
      else last_result_ = std::move(result);
      return;
    case Expected::Kind::Prepared:
    case Expected::Kind::Sync: return;
  }
}

ResultPtr PostgresConnection::finish_answers(Patience patience) {
  last_result_.reset();
  while (!take_answers()) {
    const Instant gives_up = *asked_ + finder_->options().answer_max;
    if (patience == Patience::Bounded && steady_clock::now() >= gives_up) lose("no answer in time");
    pause(-1, patience == Patience::Bounded ? gives_up : Instant::max());
  }
  asked_.reset();
  probes_.clear();
  const auto status = PQtransactionStatus(connection_.get());
  if (status == PQTRANS_UNKNOWN || status == PQTRANS_ACTIVE) lose("the server is not ready");
  begun_ = status != PQTRANS_IDLE;
  aborted_ = status == PQTRANS_INERROR;
  return std::move(last_result_);
}

void PostgresConnection::raise_failure() {
  if (!failure_) return;
  const Failure failure = *std::exchange(failure_, std::nullopt);
  if (means_lost(failure.state)) lose(failure.what);
  if (failure.state.starts_with("53")) throw Exhausted(failure.what);
  throw SqlError(failure.what);
}

bool PostgresConnection::means_lost(std::string_view state) const {
  if (state.starts_with("08")) return state != "08P01";  // that one is a mistake in our protocol
  // Shutting down, crashed, starting; idle in a transaction for too long; read-only since it was
  // demoted.
  return state == "57P01" || state == "57P02" || state == "57P03" || state == "57P05" || state == "25P03" ||
         (state == "25006" && access_ == Access::ReadWrite);
}

PostgresConnection::Woke PostgresConnection::pause(int wake_fd, Instant until) {
  PGconn* c = connection_.get();
  const int unsent = PQflush(c);
  if (unsent < 0) lose(first_line(PQerrorMessage(c)));

  std::vector<pollfd> fds;
  fds.push_back({PQsocket(c), static_cast<short>(unsent == 0 ? POLLIN : POLLIN | POLLOUT), 0});
  fds.push_back({wake_fd, POLLIN, 0});  // poll passes over a negative one
  Instant wake = until;
  if (asked_) {
    if (probes_.empty()) wake = std::min(wake, std::max(next_look_, *asked_ + finder_->options().suspicious_after));
    for (const auto& probe : probes_) {
      if (!probe.running()) continue;
      fds.push_back(probe.wants());
      wake = std::min(wake, probe.ends());
    }
  }
  const Instant now = steady_clock::now();
  int timeout = kLongestPoll;
  if (wake <= now) timeout = 0;
  else if (wake - now < std::chrono::milliseconds(kLongestPoll)) {
    timeout = static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(wake - now).count());
  }
  if (::poll(fds.data(), fds.size(), timeout) < 0 && errno != EINTR) lose(std::strerror(errno));

  if (fds[0].revents != 0) {
    heard_ = steady_clock::now();
    if (PQconsumeInput(c) == 0) {
      take_answers();  // the server's last words, if any
      lose(first_line(PQerrorMessage(c)));
    }
    return Woke::Input;
  }
  if (asked_) look_elsewhere(steady_clock::now());
  return fds[1].revents != 0 ? Woke::Fd : Woke::Time;
}

void PostgresConnection::look_elsewhere(Instant now) {
  if (probes_.empty()) {
    if (now < std::max(next_look_, *asked_ + finder_->options().suspicious_after)) return;
    probes_ = finder_->look_elsewhere(host_, access_);
  }
  bool running = false;
  for (auto& probe : probes_) {
    probe.advance(now);
    running = running || probe.running();
    if (probe.state() != Probe::State::IsPrimary || probe.timeline() <= timeline_) continue;
    finder_->seen(probe.host(), probe.timeline());
    lose(fmt::format("silent, and {} accepts writes now", finder_->options().hosts[probe.host()]));
  }
  if (running) return;
  probes_.clear();
  next_look_ = now + kLookPause;
}

// What does not fit a pipeline.

void PostgresConnection::script(std::string_view text) {
  flush();
  PGconn* c = connection_.get();
  const std::string zero_ended(text);
  if (PQexitPipelineMode(c) == 0 || PQsendQuery(c, zero_ended.c_str()) == 0) lose(first_line(PQerrorMessage(c)));
  asked_ = steady_clock::now();
  while (true) {
    // Without an end to patience: a step of a migration may rewrite a large table.
    while (PQisBusy(c) != 0) pause(-1, Instant::max());
    ResultPtr result(PQgetResult(c));
    if (PQstatus(c) == CONNECTION_BAD) lose(first_line(PQerrorMessage(c)));
    if (!result) break;
    Expected e{.text = zero_ended.c_str()};
    settle(e, result);
  }
  if (PQenterPipelineMode(c) == 0) lose(first_line(PQerrorMessage(c)));
  finish_answers(Patience::Bounded);
  raise_failure();
}

void PostgresConnection::listen(std::string_view channel) {
  for (const char c : channel) {
    if ((c < 'a' || c > 'z') && c != '_') throw SqlError("a channel's name has letters a to z and _ only");
  }
  flush();
  send_text(fmt::format("LISTEN {}", channel).c_str(), {.text = "LISTEN"});
  send_sync();
  asked_ = steady_clock::now();
  finish_answers(Patience::Bounded);
  raise_failure();
}

std::vector<Connection::Notice> PostgresConnection::wait(int wake_fd, Duration at_most) {
  require_usable();
  if (in_transaction_) throw SqlError("notices come between transactions only");
  if (!unsent_.empty()) flush();
  struct FreeNotify {
    void operator()(PGnotify* n) const { PQfreemem(n); }
  };
  const Instant until = steady_clock::now() + at_most;
  if (!asked_ && !expected_.empty()) asked_ = steady_clock::now();  // the answer to a rollback
  // What came since the last call, before anything is said about silence.
  if (PQconsumeInput(connection_.get()) == 0) lose(first_line(PQerrorMessage(connection_.get())));
  std::vector<Notice> notices;
  for (bool last_look = false;;) {
    if (take_answers()) {
      asked_.reset();
      probes_.clear();
      raise_failure();
    }
    while (const auto n = std::unique_ptr<PGnotify, FreeNotify>(PQnotifies(connection_.get()))) {
      notices.push_back({n->relname, n->extra});
    }
    if (!notices.empty() || last_look) return notices;

    const Instant now = steady_clock::now();
    const auto& options = finder_->options();
    if (asked_ && now >= *asked_ + options.answer_max) lose("no answer in time");
    if (expected_.empty() && now >= heard_ + kHeartbeat) {
      send_text("SELECT 1", {});
      send_sync();
      asked_ = now;
    }
    const Instant next = asked_ ? *asked_ + options.answer_max : heard_ + kHeartbeat;
    const auto woke = pause(wake_fd, std::min(until, next));
    last_look = woke == Woke::Fd || steady_clock::now() >= until;
  }
}

}  // namespace haechi::store
