#include "store/store.hpp"

#include <doctest/doctest.h>

#include <filesystem>

#include "store/tests/engines.hpp"

using namespace haechi;
using namespace haechi::store;
using namespace haechi::store::test;

namespace {

template <class Engine>
struct Fixture {
  void open() {
    db.reset();
    db = engine.open();
  }
  Engine engine;
  std::unique_ptr<Database> db = engine.open();
};

constexpr Sql kInsert{"INSERT INTO t(a, b, c) VALUES($2, $1, $3)"};
constexpr Sql kAll{"SELECT a, b, c FROM t ORDER BY a"};
constexpr Sql kCount{"SELECT count(*) FROM t"};
constexpr Sql kNowhere{"INSERT INTO nowhere VALUES(1)"};
constexpr std::string_view kTable = "CREATE TABLE t(a BIGINT PRIMARY KEY, b TEXT, c BYTEA);";

}  // namespace

TEST_ON_ENGINES("values go in by number and come out as they were") {
  if (!Engine::available()) return;
  Fixture<Engine> f;
  auto& db = f.db;
  auto c = db->connect(Access::ReadWrite);
  c->script(kTable);
  const std::string bytes("\0\xff\x01", 3);
  CHECK(c->exec(kInsert, "해치", 1, Blob{bytes}) == 1);
  CHECK(c->exec(kInsert, "", 2, nullptr) == 1);
  CHECK(c->exec(kInsert, std::optional<std::string>(), 3, Blob{std::string_view()}) == 1);
  int n = 0;
  c->each(kAll, [&](const Row& r) {
    CHECK(r.i64(0) == ++n);
    if (n == 1) {
      CHECK(r.text(1) == "해치");
      CHECK(r.text(2) == bytes);
      // The same statement again inside its own rows.
      CHECK(c->all(kAll, [](const Row& inner) { return inner.i64(0); }).size() == 3);
    }
    if (n == 2) {
      CHECK_FALSE(r.is_null(1));
      CHECK_FALSE(r.opt_str(2));
    }
    if (n == 3) {
      CHECK(r.is_null(1));
      CHECK_FALSE(r.is_null(2));
      CHECK(r.text(2).empty());
    }
  });
  CHECK(n == 3);
  CHECK(c->one_i64(kCount) == 3);
  CHECK(c->one(kAll, [](const Row& r) { return r.str(1); }) == "해치");
}

TEST_ON_ENGINES("mistakes throw with the head of the statement") {
  if (!Engine::available()) return;
  Fixture<Engine> f;
  auto& db = f.db;
  auto c = db->connect(Access::ReadWrite);
  c->script(kTable);
  CHECK_THROWS_WITH_AS(c->exec(kNowhere),
                       Engine::kShared ? "relation \"nowhere\" does not exist (42P01) in: INSERT INTO nowhere VALUES(1)"
                                       : "no such table: nowhere (1) in: INSERT INTO nowhere VALUES(1)",
                       SqlError);
  CHECK_THROWS_AS(c->exec(kInsert, 1), SqlError);
  CHECK_THROWS_AS(c->exec(kInsert, 1, 2, 3, 4), SqlError);
  CHECK_THROWS_AS(c->exec(Sql{"SELECT $1, $3"}, 1, 2), SqlError);
  c->exec(kInsert, "x", 1, nullptr);
  CHECK_THROWS_AS(c->exec(kInsert, "x", 1, nullptr), SqlError);
  CHECK(c->exec(kInsert, "x", 2, nullptr) == 1);  // a failed statement can be used again
  auto reader = db->connect(Access::ReadOnly);
  CHECK_THROWS_AS(reader->exec(kInsert, "x", 3, nullptr), SqlError);
}

TEST_ON_ENGINES("a nested scope is undone alone, a reader sees only what is committed") {
  if (!Engine::available()) return;
  Fixture<Engine> f;
  auto& db = f.db;
  auto c = db->connect(Access::ReadWrite);
  c->script(kTable);
  auto reader = db->connect(Access::ReadOnly);
  c->begin();
  c->exec(kInsert, "kept", 1, nullptr);
  c->savepoint();
  c->exec(kInsert, "undone", 2, nullptr);
  c->rollback_to();
  c->savepoint();
  c->exec(kInsert, "kept", 3, nullptr);
  c->release();
  CHECK(reader->one_i64(kCount) == 0);
  c->commit();
  CHECK(reader->one_i64(kCount) == 2);
  c->begin();
  c->exec(kInsert, "undone", 4, nullptr);
  c->rollback();
  c->rollback();
  CHECK(c->one_i64(kCount) == 2);
}

TEST_CASE("a second opener is refused until the first has closed") {
  Fixture<OnSqlite> f;
  const auto second = open_sqlite({.path = (f.engine.dir.path() / "db").string()});
  REQUIRE_FALSE(second);
  CHECK(second.error().is(haechi::Errc::Conflict));
  f.open();
  const auto impossible = open_sqlite({.path = (f.engine.dir.path() / "no" / "such" / "db").string()});
  REQUIRE_FALSE(impossible);
  CHECK(impossible.error().is(haechi::Errc::Io));
}

TEST_ON_ENGINES("schema steps are applied once, in order, and a newer database is refused") {
  if (!Engine::available()) return;
  Fixture<Engine> f;
  auto& db = f.db;
  const Migration one{"m", 1, "one", kTable};
  const Migration two{"m", 2, "two",
                      "ALTER TABLE t ADD COLUMN d TEXT; CREATE TABLE u(k TEXT, PRIMARY KEY(k)) /*clustered*/;"};
  const Migration other{"n", 1, "other", "CREATE TABLE n(a BIGINT PRIMARY KEY);"};
  const Migration broken{"n", 2, "broken", "CREATE TABLE half(a BIGINT PRIMARY KEY); CREATE TABLE n(a BIGINT);"};
  const auto run = [&](std::vector<Migration> steps) { return migrate(*db, steps); };
  CHECK(run({one}));
  CHECK(run({one, two, other}));
  CHECK(run({one, two, other}));
  CHECK(run({other}));  // another part of the program, with fewer modules
  const auto newer = run({one, other});
  REQUIRE_FALSE(newer);
  CHECK(newer.error().is(haechi::Errc::Conflict));
  const auto failed = run({one, two, other, broken});
  REQUIRE_FALSE(failed);
  CHECK(failed.error().is(haechi::Errc::Io));
  auto c = db->connect(Access::ReadWrite);
  CHECK_THROWS_AS(c->one_i64(Sql{"SELECT count(*) FROM half"}), SqlError);
  CHECK(c->one_i64(Sql{"SELECT count(*) FROM migrations"}) == 3);
}

TEST_CASE("the log stays bounded under constant writing") {
  Fixture<OnSqlite> f;
  auto& db = f.db;
  auto c = db->connect(Access::ReadWrite);
  c->script(kTable);
  const std::string text(3000, 'x');
  const auto log = (f.engine.dir.path() / "db-wal").string();
  std::uintmax_t largest = 0;
  for (int i = 0; i < 4000; ++i) {
    c->begin();
    c->exec(kInsert, text, i, nullptr);
    c->commit();
    db->checkpoint(*c);
    largest = std::max(largest, std::filesystem::file_size(log));
  }
  // 4,000 commits write 8,000 pages and more; a checkpoint is due every 50.
  CHECK(largest < 4000u * 4096u);
  CHECK(c->one_i64(kCount) == 4000);
}

TEST_ON_ENGINES("reads run on threads of their own and see one state") {
  if (!Engine::available()) return;
  Fixture<Engine> f;
  auto& db = f.db;
  ManualClock clock;
  ManualLoop loop(clock);
  auto c = db->connect(Access::ReadWrite);
  c->script(kTable);
  Readers readers(loop, *db, 2, 10);
  const auto twice = loop.run(readers.read([&](Connection& r) -> Result<bool> {
    const auto before = r.one_i64(kCount);
    c->exec(kInsert, "x", 1, nullptr);  // the loop thread waits meanwhile
    return before == r.one_i64(kCount);
  }));
  CHECK(twice == true);
  const auto failed = loop.run(readers.read([](Connection& r) -> Result<int> {
    r.exec(Sql{"SELECT * FROM nowhere"});
    return 1;
  }));
  REQUIRE_FALSE(failed);
  CHECK(failed.error().is(haechi::Errc::Io));
}
