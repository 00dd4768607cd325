#include "journal/tests/fixture.hpp"

using namespace haechi;
using namespace haechi::journal;
using namespace haechi::journal::test;

namespace {

/// Fails the nth step of the connection that writes; every other works.
struct Faults {
  bool armed = false;
  int countdown = 0;
  bool for_good = false;
  bool struck = false;
  void step() {
    if (!armed || (countdown-- != 0 && !(for_good && countdown < 0))) return;
    struck = true;
    throw store::SqlError("injected: disk I/O error");
  }
};

class FaultyConnection final : public Connection {
 public:
  FaultyConnection(std::unique_ptr<Connection> inner, Faults& faults) : inner_(std::move(inner)), faults_(faults) {}
  void script(std::string_view text) override { inner_->script(text); }
  void begin() override {
    faults_.step();
    inner_->begin();
  }
  void commit() override {
    faults_.step();
    inner_->commit();
  }
  void rollback() noexcept override { inner_->rollback(); }
  void savepoint() override {
    faults_.step();
    inner_->savepoint();
  }
  void release() override {
    faults_.step();
    inner_->release();
  }
  void rollback_to() override {
    faults_.step();
    inner_->rollback_to();
  }

 protected:
  std::int64_t run(const Sql& sql, std::span<const store::Value> args, const store::RowFn* row) override {
    faults_.step();
    return inner_->execute(sql, args, row);
  }

 private:
  std::unique_ptr<Connection> inner_;
  Faults& faults_;
};

class FaultyDatabase final : public store::Database {
 public:
  FaultyDatabase(std::unique_ptr<store::Database> inner, Faults& faults) : inner_(std::move(inner)), faults_(faults) {}
  std::unique_ptr<Connection> connect(store::Access access) override {
    auto c = inner_->connect(access);
    if (access == store::Access::ReadOnly) return c;
    return std::make_unique<FaultyConnection>(std::move(c), faults_);
  }
  std::string_view engine() const override { return inner_->engine(); }

 private:
  std::unique_ptr<store::Database> inner_;
  Faults& faults_;
};

Task<void> note_into(Journal& j, std::string text, Guard guard, std::vector<std::string>& acked) {
  const auto r = co_await j.submit([text](Tx& tx) { return Node::write_note(tx, text); }, guard);
  if (r) acked.push_back(text);
  else CHECK(r.error().is(journal::Errc::Failed));
}

Task<void> keyed_into(Journal& j, std::string text, std::vector<std::string>& acked) {
  auto claim = co_await j.claim({"s", text});
  if (!claim || claim->answer()) co_return;
  const auto r = co_await j.submit(*claim, [text](Tx& tx) -> Result<std::string> {
    Node::write_note(tx, text);
    return text;
  });
  if (r) acked.push_back(text);
}

}  // namespace

TEST_CASE("whatever step fails, what was acknowledged is there and the rest is not") {
  for (const Guard guard : {Guard::Bare, Guard::Guarded}) {
    bool struck = true;
    for (int n = 0; struck; ++n) {
      CAPTURE(n);
      REQUIRE(n < 200);
      TempDir dir;
      Faults faults;
      faults.countdown = n;
      std::vector<std::string> acked;
      {
        Node node(dir.file("db"), {}, [&](auto db) { return std::make_unique<FaultyDatabase>(std::move(db), faults); });
        std::vector<Position> followed;
        node.journal->subscribe([&](std::span<const Entry> entries) {
          for (const auto& e : entries) followed.push_back(e.pos);
        });
        faults.armed = true;
        Scope scope;
        for (const char* text : {"a", "b", "c"}) scope.spawn(note_into(*node.journal, text, guard, acked));
        scope.spawn(keyed_into(*node.journal, "k", acked));
        node.journal->start();
        node.loop.run_until([&] { return scope.running() == 0; });
        struck = faults.struck;
        faults.armed = false;
        if (acked.empty()) CHECK_FALSE(node.journal->healthy());
        // The store works again: so does the journal.
        CHECK(node.note("after"));
        acked.push_back("after");
        CHECK(node.journal->healthy());
        scope.spawn(keyed_into(*node.journal, "k", acked));
        node.loop.run_until([&] { return scope.running() == 0; });
        CHECK(std::ranges::count(acked, "k") == 1);
        CHECK(followed.size() == acked.size());
        for (std::size_t i = 0; i < followed.size(); ++i) CHECK(followed[i] == static_cast<Position>(i + 1));
      }
      Node node(dir.file("db"));
      const auto stored = node.loop.run(node.readers->read([](Connection& c) -> Result<std::vector<std::string>> {
        return c.all(Sql{"SELECT text FROM notes ORDER BY pos"}, [](const Row& r) { return r.str(0); });
      }));
      REQUIRE(stored);
      CHECK(std::ranges::is_permutation(*stored, acked));
      CHECK(node.journal->position() == static_cast<Position>(acked.size()));
    }
  }
}

TEST_CASE("what was submitted before anybody could know of a failed commit fails with it") {
  TempDir dir;
  Faults faults;
  // One command a batch: the second is in a batch of its own, which the store would take.
  Node node(dir.file("db"), {.batch_max = 1},
            [&](auto db) { return std::make_unique<FaultyDatabase>(std::move(db), faults); });
  std::vector<std::string> acked;
  Scope scope;
  faults.armed = true;
  for (const char* text : {"a", "built on a"}) scope.spawn(note_into(*node.journal, text, Guard::Bare, acked));
  node.journal->start();
  node.loop.run_until([&] { return scope.running() == 0; });
  CHECK(faults.struck);
  CHECK(acked.empty());
  CHECK(node.note("decided anew") == 1);
}

TEST_CASE("a full queue says so at once, and a stopped journal too") {
  TempDir dir;
  Node node(dir.file("db"), {.queue_max = 2});
  std::vector<std::string> acked;
  Scope scope;
  for (const char* text : {"a", "b"}) scope.spawn(note_into(*node.journal, text, Guard::Bare, acked));
  CHECK(node.journal->queued() == 2);
  CHECK(node.note("c").error().is(journal::Errc::Full));
  node.journal->start();
  node.loop.run_until([&] { return scope.running() == 0; });
  CHECK(acked.size() == 2);
  CHECK(node.journal->queued() == 0);
  node.loop.run(node.journal->stop());
  CHECK(node.note("d").error().is(journal::Errc::ShuttingDown));
}

TEST_CASE("a store that works again is noticed without a command") {
  TempDir dir;
  Faults faults{.for_good = true};
  Node node(dir.file("db"), {.inline_commits = true},
            [&](auto db) { return std::make_unique<FaultyDatabase>(std::move(db), faults); });
  node.journal->start();
  faults.armed = true;
  CHECK(node.note("lost").error().is(journal::Errc::Failed));
  CHECK_FALSE(node.journal->healthy());
  node.loop.advance(60s);
  CHECK_FALSE(node.journal->healthy());
  faults.armed = false;
  node.loop.advance(5s);
  CHECK(node.journal->healthy());
  CHECK(node.note("kept") == 1);
}

TEST_CASE("what was never started is answered when it stops") {
  TempDir dir;
  Node node(dir.file("db"));
  std::optional<Result<Position>> answer;
  Scope scope;
  const auto wait = [](Journal& j, std::optional<Result<Position>>& out) -> Task<void> {
    out = co_await j.submit([](Tx& tx) { return Node::write_note(tx, "x"); });
  };
  scope.spawn(wait(*node.journal, answer));
  node.loop.run(node.journal->stop());
  REQUIRE(answer);
  CHECK(answer->error().is(journal::Errc::ShuttingDown));
}

TEST_CASE("followers know an entry, and the position covers it, before its caller is answered") {
  TempDir dir;
  Node node(dir.file("db"));
  Position followed = 0;
  struct Local final : Payload {};
  const auto local = std::make_shared<const Local>();
  node.journal->subscribe([&](std::span<const Entry> entries) {
    CHECK(node.journal->position() == followed);
    CHECK(entries.front().local == local);
    followed = entries.back().pos;
  });
  node.journal->start();
  for (int i = 1; i <= 3; ++i) {
    const auto pos = node.loop.run(
        node.journal->submit([&](Tx& tx) -> Result<Position> { return tx.append(3, "subject", "data", local); }));
    CHECK(pos == i);
    CHECK(followed == i);
    CHECK(node.journal->position() == i);
  }
}
