// Several nodes on one PostgreSQL. Run under tools/private_postgres.py; else these cases do nothing.

#include <algorithm>
#include <map>

#include "journal/journal.hpp"
#include "journal/shared.hpp"
#include "journal/tests/fixture.hpp"
#include "store/tests/engines.hpp"

using namespace haechi;
using namespace haechi::journal;
using namespace haechi::journal::test;
using store::test::OnPostgres;

namespace {

constexpr Kind kNote = 7;
constexpr Kind kWord = 8;
constexpr Sql kNotesBetween{"SELECT pos, text FROM notes WHERE pos > $1 AND pos <= $2 ORDER BY pos"};

/// What a commit does to the connection it goes through.
enum class Cut { None, BeforeTheCommit, AfterTheCommit };

/// Breaks the nth commit of a writing connection, with or without having carried it out.
struct Cuts {
  std::atomic<int> countdown{-1};
  std::atomic<int> flushes{-1};  ///< or the nth flush
  Cut how = Cut::None;
};

class CutConnection final : public Connection {
 public:
  CutConnection(std::unique_ptr<Connection> inner, Cuts& cuts) : inner_(std::move(inner)), cuts_(cuts) {}
  void script(std::string_view text) override { inner_->script(text); }
  void begin() override { inner_->begin(); }
  void commit() override {
    const bool cut = cuts_.countdown.fetch_sub(1) == 0;
    if (!cut || cuts_.how == Cut::AfterTheCommit) inner_->commit();
    if (!cut) return;
    inner_.reset();
    throw store::ConnectionLost("cut");
  }
  void rollback() noexcept override { inner_->rollback(); }
  void savepoint() override { inner_->savepoint(); }
  void release() override { inner_->release(); }
  void rollback_to() override { inner_->rollback_to(); }
  void flush() override {
    if (cuts_.flushes.fetch_sub(1) != 0) return inner_->flush();
    inner_.reset();
    throw store::ConnectionLost("cut");
  }
  bool defers() const override { return inner_->defers(); }
  std::int64_t term() const override { return inner_->term(); }
  void listen(std::string_view channel) override { inner_->listen(channel); }
  void notify(std::string_view channel, std::string_view payload) override { inner_->notify(channel, payload); }
  std::vector<Notice> wait(int fd, Duration d) override { return inner_->wait(fd, d); }

 protected:
  std::int64_t run(const Sql& sql, std::span<const store::Value> args, const store::RowFn* row) override {
    return inner_->execute(sql, args, row);
  }

 private:
  std::unique_ptr<Connection> inner_;
  Cuts& cuts_;
};

class CutDatabase final : public store::Database {
 public:
  CutDatabase(std::unique_ptr<store::Database> inner, Cuts& cuts) : inner_(std::move(inner)), cuts_(cuts) {}
  std::unique_ptr<Connection> connect(store::Access access) override {
    auto c = inner_->connect(access);
    if (access == store::Access::ReadOnly) return c;
    return std::make_unique<CutConnection>(std::move(c), cuts_);
  }
  std::string_view engine() const override { return inner_->engine(); }
  bool shared() const override { return true; }

 private:
  std::unique_ptr<store::Database> inner_;
  Cuts& cuts_;
};

/// The loop and the database that the nodes of a test have in common.
struct World {
  World() { REQUIRE(store::migrate(*postgres.open(), steps())); }
  static std::vector<store::Migration> steps() {
    std::vector<store::Migration> all(Journal::migrations().begin(), Journal::migrations().end());
    all.insert(all.end(), std::begin(kNotes), std::end(kNotes));
    return all;
  }
  OnPostgres postgres;
  ManualClock clock;
  ManualLoop loop{clock};
};

struct Peer {
  enum class Start { Now, Later };
  Peer(World& w, std::string id, Options options = {}, Start start = Start::Now) : world(w) {
    options.node_id = std::move(id);
    db = std::make_unique<CutDatabase>(w.postgres.open(), cuts);
    readers = std::make_unique<store::Readers>(w.loop, *db, 2, 1000);
    auto made = Journal::create(w.loop, *db, *readers, w.clock, metrics, options);
    REQUIRE(made);
    journal = *std::move(made);
    journal->read_stored(kNote, [](Connection& c, Position after, Position upto) {
      return c.all(
          kNotesBetween,
          [](const Row& r) {
            return Entry{.pos = r.i64(0), .kind = kNote, .data = r.str(1), .topic = 1, .own = false};
          },
          after, upto);
    });
    journal->subscribe([this](std::span<const Entry> entries) {
      for (const auto& e : entries) {
        order.push_back(e.pos);
        if (!e.own) foreign.push_back(e.kind == kNote ? e.data : e.subject);
      }
    });
    if (start == Start::Now) journal->start();
  }
  ~Peer() { world.loop.run(journal->stop()); }

  Result<Position> note(std::string text, Basis basis = {}) {
    return world.loop.run(journal->submit(
        [text](Tx& tx) -> Result<Position> {
          const auto pos = tx.append_stored(kNote, nullptr, 1);
          tx.sql().put(kAddNote, pos, text);
          return pos;
        },
        Guard::Bare, basis));
  }

  World& world;
  Cuts cuts;
  Metrics metrics;
  std::unique_ptr<store::Database> db;
  std::unique_ptr<store::Readers> readers;
  std::unique_ptr<Journal> journal;
  std::vector<Position> order;
  std::vector<std::string> foreign;
};

Task<void> write_many(Peer& peer, int count, std::string prefix) {
  for (int i = 0; i < count; ++i) {
    const auto text = prefix + std::to_string(i);
    const auto done = co_await peer.journal->submit([text](Tx& tx) -> Result<Position> {
      const auto pos = tx.append(kWord, text, "{}");
      return pos;
    });
    CHECK(done);
  }
}

Task<void> keyed(Peer& peer, std::string key, std::string answer, std::vector<std::string>& answers) {
  auto claim = co_await peer.journal->claim({"scope", key});
  REQUIRE(claim);
  auto done = co_await peer.journal->submit(*claim, [answer](Tx& tx) -> Result<std::string> {
    tx.append(kWord, answer, "{}");
    return answer;
  });
  REQUIRE(done);
  answers.push_back(*std::move(done));
}

}  // namespace

TEST_CASE("nodes that write at the same time have one gapless order, and all follow it") {
  if (!OnPostgres::available()) return;
  World w;
  Peer a(w, "a"), b(w, "b"), c(w, "c");
  Scope scope;
  for (int lane = 0; lane < 4; ++lane) {
    scope.spawn(write_many(a, 20, "a" + std::to_string(lane) + "-"));
    scope.spawn(write_many(b, 20, "b" + std::to_string(lane) + "-"));
  }
  w.loop.run_until(
      [&] { return scope.running() == 0 && c.order.size() == 160 && a.order.size() == 160 && b.order.size() == 160; });
  std::vector<Position> want;
  for (Position p = 1; p <= 160; ++p) want.push_back(p);
  for (const auto* peer : {&a, &b, &c}) CHECK(peer->order == want);
  CHECK(c.foreign.size() == 160);
  CHECK(a.foreign.size() == 80);
  CHECK(c.journal->position() == 160);
}

TEST_CASE("what was decided on something that another node has changed is refused") {
  if (!OnPostgres::available()) return;
  World w;
  Peer a(w, "a"), b(w, "b");
  const auto first = a.note("first");
  REQUIRE(first);
  w.loop.run_until([&] { return b.journal->position() == *first; });
  const Basis seen{1, b.journal->position()};
  REQUIRE(b.note("second", seen));
  w.loop.run_until([&] { return a.journal->position() == 2; });
  // a decides on what b has changed since.
  const auto late = a.note("late", {1, 1});
  REQUIRE_FALSE(late);
  CHECK(late.error().is(journal::Errc::Stale));
  CHECK(a.note("of its own change it knows", {1, 2}));
  CHECK(a.note("nor does another topic matter", {2, 1}));
  CHECK(b.journal->position() >= 2);
}

TEST_CASE("a command that two nodes are asked for is carried out once") {
  if (!OnPostgres::available()) return;
  World w;
  Peer a(w, "a"), b(w, "b");
  std::vector<std::string> answers;
  Scope scope;
  for (int i = 0; i < 10; ++i) {
    const auto key = std::to_string(i);
    scope.spawn(keyed(a, key, "a" + key, answers));
    scope.spawn(keyed(b, key, "b" + key, answers));
  }
  w.loop.run_until([&] { return scope.running() == 0; });
  CHECK(answers.size() == 20);
  std::map<char, std::vector<std::string>> by_key;
  for (const auto& answer : answers) by_key[answer.back()].push_back(answer);
  for (const auto& [key, both] : by_key) CHECK(both[0] == both[1]);
  w.loop.run_until([&] { return a.order.size() >= 10 && b.order.size() >= 10; });
  CHECK(a.order.size() == 10);
  // Long after, on either: from memory or from the table.
  answers.clear();
  scope.spawn(keyed(b, "3", "again", answers));
  w.loop.run_until([&] { return scope.running() == 0; });
  CHECK(answers.front() == by_key['3'].front());
}

TEST_CASE("a batch whose commit is in doubt is settled: never lost, never twice") {
  if (!OnPostgres::available()) return;
  for (const Cut how : {Cut::BeforeTheCommit, Cut::AfterTheCommit}) {
    CAPTURE(how == Cut::AfterTheCommit);
    World w;
    Peer a(w, "a"), b(w, "b");
    a.cuts.how = how;
    for (int n = 0; n < 4; ++n) {
      a.cuts.countdown = n % 2;  // the first commit, or the one that settles it
      const auto text = "note " + std::to_string(n);
      REQUIRE(a.note(text));
      std::vector<std::string> answers;
      Scope scope;
      scope.spawn(keyed(a, text, "key " + std::to_string(n), answers));
      w.loop.run_until([&] { return scope.running() == 0; });
    }
    w.loop.run_until([&] { return b.order.size() >= 8; });
    CHECK(b.order.size() == 8);
    CHECK(a.order == b.order);
    CHECK(w.postgres.ask("SELECT count(*) FROM notes") == "4");
    CHECK(w.postgres.ask("SELECT count(*) FROM commands") == "4");
    CHECK(w.postgres.ask("SELECT pos FROM journal_head") == "8");
    // None of a's own changes came back to it as somebody else's.
    CHECK(a.foreign.empty());
  }
}

TEST_CASE("a node that is far behind and loses its connection while it catches up acknowledges only what is stored") {
  if (!OnPostgres::available()) return;
  for (const int flush : {0, 1, 2}) {
    CAPTURE(flush);
    World w;
    Peer b(w, "b", {}, Peer::Start::Later);
    Peer a(w, "a");
    const auto many = w.loop.run(a.journal->submit([](Tx& tx) -> Result<Position> {
      Position last = 0;
      for (int i = 0; i < 9'000; ++i) last = tx.append(kWord, "w", "{}");
      return last;
    }));
    REQUIRE(many);
    std::vector<std::string> answers;
    Scope scope;
    scope.spawn(keyed(b, "k", "stored", answers));
    b.cuts.flushes = flush;
    b.journal->start();
    w.loop.run_until([&] { return scope.running() == 0; });
    CHECK(answers == std::vector<std::string>{"stored"});
    CHECK(w.postgres.ask("SELECT answer FROM commands") == "stored");
    CHECK(b.order.size() == 9'001);
  }
}

TEST_CASE("who asks for freshness sees what another node has been acknowledged") {
  if (!OnPostgres::available()) return;
  World w;
  Peer a(w, "a"), b(w, "b");
  for (int i = 0; i < 20; ++i) {
    const auto pos = a.note("x");
    REQUIRE(pos);
    CHECK(w.loop.run(b.journal->fresh(5s)));
    CHECK(b.journal->position() >= *pos);
  }
}

TEST_CASE("what nodes say to each other is heard by the others and not stored") {
  if (!OnPostgres::available()) return;
  World w;
  Peer a(w, "a"), b(w, "b");
  std::vector<std::string> heard, own;
  b.journal->on_broadcast("typing", [&](std::string_view m) { heard.emplace_back(m); });
  a.journal->on_broadcast("typing", [&](std::string_view m) { own.emplace_back(m); });
  // b listens once it has followed something.
  REQUIRE(a.note("x"));
  w.loop.run_until([&] { return b.journal->position() == 1; });
  a.journal->broadcast("typing", R"({"room":"!r","by":"@a b"})");
  a.journal->broadcast("other", "nobody listens");
  w.loop.run_until([&] { return !heard.empty(); });
  CHECK(heard == std::vector<std::string>{R"({"room":"!r","by":"@a b"})"});
  CHECK(own.empty());
  CHECK(a.journal->position() == 1);
}

TEST_CASE("one node moves the index, all of them find by it") {
  if (!OnPostgres::available()) return;
  World w;
  Options options{.index_segment_entries = 512};
  Peer a(w, "a", options), b(w, "b", options);
  std::vector<std::string> answers;
  Scope scope;
  for (int i = 0; i < 700; ++i) scope.spawn(keyed(i % 2 ? a : b, "k" + std::to_string(i), std::to_string(i), answers));
  w.loop.run_until([&] { return scope.running() == 0; });
  // Each further batch may carry a slice; in time a segment is moved.
  while (w.postgres.ask("SELECT count(*) FROM late_index_segments") == "0") REQUIRE(a.note("x"));
  w.loop.run_until([&] { return b.journal->position() == a.journal->position(); });
  Peer fresh(w, "fresh", options);
  for (auto* peer : {&a, &b, &fresh}) {
    for (int i = 0; i < 700; i += 53) {
      answers.clear();
      scope.spawn(keyed(*peer, "k" + std::to_string(i), "again", answers));
      w.loop.run_until([&] { return scope.running() == 0; });
      CHECK(answers.front() == std::to_string(i));
    }
  }
}
