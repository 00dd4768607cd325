// What only PostgreSQL has: answers that come late, connections that break, several servers.

#include <doctest/doctest.h>
#include <signal.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "store/postgres_statement.hpp"
#include "store/postgres_values.hpp"
#include "store/tests/engines.hpp"

using namespace haechi;
using namespace haechi::store;
using namespace haechi::store::test;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view kTable = "CREATE TABLE t(a BIGINT PRIMARY KEY, b TEXT, c BYTEA, d INTEGER, e SMALLINT);";
constexpr Sql kInsert{"INSERT INTO t(a, b) VALUES($1, $2)"};
constexpr Sql kMany{"INSERT INTO t(a, b, c, d, e) VALUES($1, upper($2), $3, $4, $5)", Rows::Together};
constexpr Sql kManyOnce{"INSERT INTO t(a, b) VALUES($1, $2) ON CONFLICT (a) DO NOTHING", Rows::Together};
constexpr Sql kCount{"SELECT count(*) FROM t"};
constexpr Sql kPid{"SELECT pg_backend_pid()"};
constexpr Sql kText{"SELECT b FROM t WHERE a = $1"};

struct Fixture {
  OnPostgres engine;
  std::unique_ptr<Database> db = engine.open();
  std::unique_ptr<Connection> c = db->connect(Access::ReadWrite);
  Fixture() { c->script(kTable); }
};

/// A server that the test may freeze or break.
class OwnServer {
 public:
  explicit OwnServer(bool standby = false) {
    start();
    if (!standby) return;
    stop();
    std::ofstream(dir_.path() / "data" / "standby.signal") << "";
    start();
  }
  ~OwnServer() {
    signal_all(SIGCONT);
    stop();
  }
  std::string host() const { return fmt::format("127.0.0.1:{}", port_); }
  std::string ask(const std::string& sql) const {
    return ask_server(fmt::format("host=127.0.0.1 port={} user=postgres dbname=postgres", port_), sql);
  }
  /// Every process of the server: a site that stands still.
  void signal_all(int number) const {
    const int postmaster = std::stoi(first_line(dir_.path() / "data" / "postmaster.pid"));
    std::ifstream children(fmt::format("/proc/{0}/task/{0}/children", postmaster));
    for (int pid = 0; children >> pid;) ::kill(pid, number);
    ::kill(postmaster, number);
  }
  void signal_backend(std::int64_t pid, int number) const { ::kill(static_cast<pid_t>(pid), number); }

 private:
  static std::string first_line(const std::filesystem::path& path) {
    std::ifstream in(path);
    std::string line;
    std::getline(in, line);
    return line;
  }
  std::string tool(const std::string& verb) const {
    const auto root = std::filesystem::path(__FILE__).parent_path().parent_path().parent_path().parent_path();
    const auto command = fmt::format("{} {} {} > {}", (root / "tools" / "private_postgres.py").string(), verb,
                                     dir_.path().string(), (dir_.path() / "answer").string());
    REQUIRE(::system(command.c_str()) == 0);
    return first_line(dir_.path() / "answer");
  }
  void start() { port_ = std::stoi(tool("start --no-fsync")); }
  void stop() { tool("stop"); }

  TempDir dir_;
  int port_ = 0;
};

std::unique_ptr<Database> open(std::vector<std::string> hosts) {
  auto opened = open_postgres({.hosts = std::move(hosts), .database = "postgres", .user = "postgres"});
  REQUIRE(opened);
  return *std::move(opened);
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

TEST_CASE("placeholders are counted outside of quotes, an INSERT is rewritten for arrays") {
  CHECK(count_placeholders("SELECT 1") == 0);
  CHECK(count_placeholders("SELECT $2, $1, '$9', $2") == 2);
  CHECK(count_placeholders("SELECT $12") == 12);
  CHECK(inserted_table("INSERT INTO things(a) VALUES($1) ON CONFLICT (a) DO UPDATE SET a = 1") == "THINGS");
  CHECK(inserted_table("INSERT INTO t(a) SELECT b FROM u").empty());
  CHECK(inserted_table("UPDATE t SET a = $1").empty());
  const std::vector<Oid> types{20, 25};
  CHECK(gathered_insert("INSERT INTO t(a, b) VALUES($1, $2)", types) ==
        "INSERT INTO t(a, b) SELECT p.v1, p.v2 FROM unnest($1::bigint[], $2::text[]) AS p(v1, v2)");
  CHECK(gathered_insert("insert into t(a, b) values($2, lower($1)) on conflict do nothing", types) ==
        "insert into t(a, b) SELECT p.v2, lower(p.v1) FROM unnest($1::bigint[], $2::text[]) AS p(v1, v2) "
        "on conflict do nothing");
  for (const char* text : {"UPDATE t SET a = $1 WHERE b = $2", "INSERT INTO t(a, b) VALUES($1, $2), ($2, $1)",
                           "INSERT INTO t(a, b) VALUES($1, $2) ON CONFLICT (a) DO UPDATE SET b = excluded.b",
                           "INSERT INTO t(a, b) VALUES($1, $2) RETURNING a", "INSERT INTO t(a, b) SELECT $1, $2"}) {
    CHECK_FALSE(gathered_insert(text, types));
  }
  CHECK_FALSE(gathered_insert("INSERT INTO t(a) VALUES($1)", std::vector<Oid>{1184}));
}

TEST_CASE("options that cannot work are refused at once") {
  for (const char* host : {"", "x", ":5432", "x:", "x:0", "x:70000", "x:5432,y:5432", "/tmp:5432", "::1:5432"}) {
    const auto refused = open_postgres({.hosts = {host}});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().is(haechi::Errc::Invalid));
  }
  CHECK_FALSE(open_postgres({}));
  CHECK(open_postgres({.hosts = {"db.example.org:5432", "[::1]:5432"}}));
}

TEST_CASE("a server that is not there is looked for until the time is over") {
  auto db = *open_postgres({.hosts = {"127.0.0.1:1"}, .find_max = 200ms});
  const auto begin = std::chrono::steady_clock::now();
  CHECK_THROWS_AS(db->connect(Access::ReadWrite), ConnectionLost);
  CHECK(seconds_since(begin) > 0.19);
  CHECK(seconds_since(begin) < 2);
}

TEST_CASE("numbers of every type are read as numbers and as text") {
  if (!OnPostgres::available()) return;
  Fixture f;
  static constexpr Sql kNumbers{
      "SELECT 1::smallint, -2::integer, 3000000000::bigint, sum(x), true, 1.5::double precision, '42', "
      "-123456789012.75::numeric, 'a'::varchar, NULL::bigint FROM (VALUES (20000000000::bigint), (1)) AS v(x)"};
  f.c->each(kNumbers, [](const Row& r) {
    const std::int64_t expected[] = {1, -2, 3'000'000'000, 20'000'000'001, 1, 1, 42, -123'456'789'012};
    for (int i = 0; i < 8; ++i) CHECK(r.i64(i) == expected[i]);
    CHECK(r.f64(5) == 1.5);
    CHECK(r.f64(7) == -123456789012.75);
    CHECK(r.text(2) == "3000000000");
    CHECK(r.text(8) == "a");
    CHECK(r.opt_i64(9) == std::nullopt);
  });
}

TEST_CASE("text that PostgreSQL cannot hold is refused before it is sent") {
  if (!OnPostgres::available()) return;
  Fixture f;
  f.c->begin();
  f.c->put(kInsert, 1, "kept");
  CHECK_THROWS_WITH_AS(f.c->exec(kInsert, 2, std::string_view("a\0b", 3)),
                       "text must be UTF-8 without zero bytes: a value of INSERT INTO t(a, b) VALUES($1, $2)",
                       SqlError);
  CHECK_THROWS_AS(f.c->put(kInsert, 2, "\xff"), SqlError);
  f.c->commit();
  CHECK(f.c->one_i64(kCount) == 1);
  // Bytes bound as text would be taken for a text form of bytes.
  static constexpr Sql kBytes{"INSERT INTO t(a, c) VALUES($1, $2)"};
  CHECK_THROWS_AS(f.c->exec(kBytes, 5, "text"), SqlError);
}

TEST_CASE("rows that may go together do, and say what they always said") {
  if (!OnPostgres::available()) return;
  Fixture f;
  for (const std::int64_t from : {0, 1000, 2000}) {  // the first round learns the types
    f.c->begin();
    for (std::int64_t i = from; i < from + 500; ++i) {
      const std::string bytes{"\0x", 2};
      f.c->put(kMany, i, i % 3 == 0 ? std::optional<std::string>() : "k" + std::to_string(i), Blob{bytes}, -i, i % 7);
      f.c->put(kManyOnce, i % 10, "again");
    }
    f.c->commit();
  }
  CHECK(f.c->one_i64(kCount) == 1500);
  CHECK(f.c->one_i64(Sql{"SELECT count(*) FROM t WHERE b IS NULL"}) == 167 + 166 + 167);
  CHECK(f.c->one_i64(Sql{"SELECT sum(d) FROM t"}) == -(124'750 + 624'750 + 1'124'750));
  CHECK(f.c->one(kText, [](const Row& r) { return r.str(0); }, 2123) == "K2123");
  CHECK(f.c->one_i64(Sql{"SELECT min(octet_length(c)) FROM t"}) == 2);

  // A statement that might look at them comes after them.
  f.c->begin();
  for (std::int64_t i = 3000; i < 3010; ++i) f.c->put(kManyOnce, i, "new");
  f.c->put(Sql{"UPDATE t SET b = 'changed' WHERE a = 3005"});
  f.c->put(kInsert, 3010, "one by one");
  f.c->commit();
  CHECK(f.c->one(kText, [](const Row& r) { return r.str(0); }, 3005) == "changed");
  f.c->exec(Sql{"DELETE FROM t WHERE a >= 3000"});

  // A value that does not fit is refused here, and the transaction is of no more use.
  f.c->begin();
  for (std::int64_t i = 5000; i < 5010; ++i) f.c->put(kMany, i, "x", nullptr, 1, 70'000);
  CHECK_THROWS_WITH_AS(f.c->commit(), "a value does not fit a column of type smallint", SqlError);
  CHECK_THROWS_AS(f.c->one_i64(kCount), SqlError);
  f.c->rollback();
  CHECK(f.c->one_i64(kCount) == 1500);
}

TEST_CASE("an error of something kept back shows at the next answer and spoils up to the last savepoint") {
  if (!OnPostgres::available()) return;
  Fixture f;
  auto& c = *f.c;
  c.begin();
  c.put(kInsert, 1, "x");
  c.savepoint();
  c.put(kInsert, 1, "twice");
  CHECK_THROWS_AS(c.one_i64(kCount), SqlError);
  CHECK_THROWS_AS(c.one_i64(kCount), SqlError);
  CHECK_THROWS_AS(c.put(kInsert, 7, "x"), SqlError);
  c.rollback_to();
  CHECK(c.one_i64(kCount) == 1);

  // Released before anybody heard of it: going back to a later savepoint would not help.
  c.savepoint();
  c.put(kInsert, 1, "twice");
  c.release();
  c.savepoint();
  CHECK_THROWS_AS(c.flush(), SqlError);
  CHECK_THROWS_AS(c.rollback_to(), SqlError);
  CHECK_THROWS_AS(c.commit(), SqlError);
  c.rollback();
  CHECK(c.one_i64(kCount) == 0);

  // At the commit.
  c.begin();
  c.put(kInsert, 1, "x");
  c.put(kInsert, 1, "twice");
  CHECK_THROWS_AS(c.commit(), SqlError);
  c.rollback();
  CHECK(c.one_i64(kCount) == 0);

  // Nested, with what is kept back going with its savepoint.
  c.begin();
  c.savepoint();
  c.put(kInsert, 1, "kept");
  c.savepoint();
  c.put(kInsert, 2, "undone");
  c.rollback_to();
  c.savepoint();
  c.exec(kInsert, 3, "undone");
  c.put(kInsert, 4, "undone");
  c.rollback_to();
  c.put(kInsert, 5, "kept");
  c.release();
  c.commit();
  CHECK(c.all(Sql{"SELECT a FROM t ORDER BY a"}, [](const Row& r) { return r.i64(0); }) ==
        std::vector<std::int64_t>{1, 5});
}

TEST_CASE("a statement may run inside the rows of another, however many there are") {
  if (!OnPostgres::available()) return;
  Fixture f;
  static constexpr Sql kSeries{"SELECT n, repeat('x', 100) FROM generate_series(1, $1::integer) AS s(n)"};
  std::int64_t rows = 0;
  f.c->each(
      kSeries,
      [&](const Row& r) {
        rows += r.i64(0);
        if (r.i64(0) % 10'000 == 0) {
          CHECK(f.c->one_i64(kCount) == 0);
          CHECK(r.text(1).size() == 100);
        }
      },
      50'000);
  CHECK(rows == 50'000LL * 50'001 / 2);
}

TEST_CASE("notices arrive once the transaction is committed, and a wait can be woken") {
  if (!OnPostgres::available()) return;
  Fixture f;
  auto listener = f.db->connect(Access::ReadOnly);
  CHECK_THROWS_AS(listener->listen("x; DROP TABLE t"), SqlError);
  listener->listen("commits");
  CHECK(listener->wait(-1, 0ms).empty());
  f.c->begin();
  f.c->exec(kInsert, 1, "x");
  f.c->notify("commits", "17");
  CHECK(listener->wait(-1, 20ms).empty());
  f.c->commit();
  const auto heard = listener->wait(-1, 5s);
  REQUIRE(heard.size() == 1);
  CHECK(heard[0].channel == "commits");
  CHECK(heard[0].payload == "17");
  // A statement in between does not swallow one.
  f.c->notify("commits", "18");
  f.c->flush();
  while (f.engine.ask("SELECT 1") != "1") {
  }
  CHECK(listener->one_i64(kCount) == 1);
  CHECK(listener->wait(-1, 5s).at(0).payload == "18");

  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const auto begin = std::chrono::steady_clock::now();
  REQUIRE(::write(ends[1], "x", 1) == 1);
  CHECK(listener->wait(ends[0], 5s).empty());
  CHECK(seconds_since(begin) < 2);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("a backend that is killed is a lost connection, and nothing of its transaction stays") {
  if (!OnPostgres::available()) return;
  Fixture f;
  auto other = f.db->connect(Access::ReadWrite);
  const auto kill_it = [&] {
    f.engine.ask(fmt::format("SELECT pg_terminate_backend({}, 5000)", *other->one_i64(kPid)));
  };
  SUBCASE("while it rests") {
    kill_it();
    CHECK_THROWS_AS(other->one_i64(kCount), ConnectionLost);
  }
  SUBCASE("in a transaction") {
    other->begin();
    other->exec(kInsert, 1, "x");
    kill_it();
    CHECK_THROWS_AS(other->exec(kInsert, 2, "x"), ConnectionLost);
    CHECK_THROWS_AS(other->rollback_to(), ConnectionLost);
    other->rollback();
  }
  SUBCASE("before its commit") {
    other->begin();
    other->exec(kInsert, 1, "x");
    kill_it();
    CHECK_THROWS_AS(other->commit(), ConnectionLost);
  }
  SUBCASE("while it waits for notices") {
    other->listen("commits");
    kill_it();
    CHECK_THROWS_AS(other->wait(-1, 5s), ConnectionLost);
  }
  CHECK(other->lost());
  CHECK_THROWS_AS(other->begin(), ConnectionLost);
  CHECK(f.c->one_i64(kCount) == 0);
}

TEST_CASE("a node that stands still in a transaction loses its turn") {
  if (!OnPostgres::available()) return;
  Fixture f;
  static constexpr Sql kSetting{"SELECT current_setting('idle_in_transaction_session_timeout')"};
  CHECK(f.c->one(kSetting, [](const Row& r) { return r.str(0); }) == "1s");
}

TEST_CASE("a read whose server is lost runs again from its beginning") {
  if (!OnPostgres::available()) return;
  Fixture f;
  ManualClock clock;
  ManualLoop loop(clock);
  Readers readers(loop, *f.db, 2, 10);
  const auto runs = std::make_shared<std::atomic<int>>(0);
  const auto count = loop.run(readers.read([&, runs](Connection& c) -> Result<std::int64_t> {
    const auto pid = c.one_i64(kPid).value();
    if (++*runs == 1) f.engine.ask(fmt::format("SELECT pg_terminate_backend({}, 5000)", pid));
    return c.one_i64(kCount).value();
  }));
  REQUIRE(count);
  CHECK(*count == 0);
  CHECK(*runs == 2);
}

TEST_CASE("two nodes that start at once apply each step once") {
  if (!OnPostgres::available()) return;
  const OnPostgres engine;
  const std::vector<Migration> steps{{"m", 1, "one", "CREATE TABLE u(a BIGINT PRIMARY KEY);"},
                                     {"m", 2, "two", "INSERT INTO u(a) VALUES(1);"},
                                     {"m", 3, "three", "ALTER TABLE u ADD COLUMN b TEXT;"}};
  std::vector<std::thread> nodes;
  std::atomic<int> failed = 0;
  for (int i = 0; i < 4; ++i) {
    nodes.emplace_back([&] {
      auto db = open_postgres(engine.options());
      if (!migrate(**db, steps)) ++failed;
    });
  }
  for (auto& n : nodes) n.join();
  CHECK(failed == 0);
  CHECK(engine.ask("SELECT count(*) FROM u") == "1");
  CHECK(engine.ask("SELECT count(*) FROM migrations") == "3");
}

TEST_CASE("a commit that waits for its second copy is in doubt when the wait ends otherwise") {
  if (!OnPostgres::available()) return;
  const OwnServer server;
  auto db = open({server.host()});
  auto c = db->connect(Access::ReadWrite);
  c->script(kTable);
  const auto pid = c->one_i64(kPid).value();
  server.ask("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
  server.ask("SELECT pg_reload_conf()");
  while (
      server.ask(
          "SELECT sync_state FROM pg_stat_replication UNION ALL SELECT current_setting('synchronous_standby_names')") !=
      "nobody") {
  }
  const char* how = nullptr;
  SUBCASE("its backend is terminated") { how = "pg_terminate_backend"; }
  SUBCASE("it is cancelled") { how = "pg_cancel_backend"; }
  std::thread ender([&] {
    const auto waits =
        fmt::format("SELECT count(*) FROM pg_stat_activity WHERE pid = {} AND wait_event = 'SyncRep'", pid);
    while (server.ask(waits) != "1") std::this_thread::yield();
    server.ask(fmt::format("SELECT {}({})", how, pid));
  });
  c->begin();
  c->put(kInsert, 1, "x");
  CHECK_THROWS_AS(c->commit(), ConnectionLost);
  ender.join();
  CHECK(c->lost());
  CHECK(server.ask("SELECT count(*) FROM t") == "1");  // which is why nobody may say it failed
}

TEST_CASE("a server that stands still is left for one that accepts writes, and not returned to") {
  if (!OnPostgres::available()) return;
  const OwnServer old;
  const OwnServer next(true);
  auto db = open({old.host(), next.host()});
  auto c = db->connect(Access::ReadWrite);
  c->script(kTable);
  auto reader = db->connect(Access::ReadOnly);
  CHECK(reader->one_i64(kCount) == 0);
  c->begin();
  c->exec(kInsert, 1, "x");
  old.signal_all(SIGSTOP);
  next.ask("SELECT pg_promote()");
  const auto begin = std::chrono::steady_clock::now();
  CHECK_THROWS_AS(c->commit(), ConnectionLost);
  CHECK(seconds_since(begin) < 2);
  CHECK_THROWS_AS(reader->one_i64(kCount), ConnectionLost);

  const auto again = std::chrono::steady_clock::now();
  auto elsewhere = db->connect(Access::ReadWrite);
  CHECK(seconds_since(again) < 1);
  elsewhere->script(kTable);
  elsewhere->exec(kInsert, 2, "x");
  CHECK(next.ask("SELECT count(*) FROM t") == "1");

  // Another process, which has not seen either: the old server still believes to be the primary.
  old.signal_all(SIGCONT);
  for (int i = 0; i < 5; ++i) {
    auto fresh = open({old.host(), next.host()})->connect(Access::ReadWrite);
    CHECK(fresh->one_i64(Sql{"SELECT max(a) FROM t"}) == 2);
  }
  CHECK(db->connect(Access::ReadOnly)->one_i64(Sql{"SELECT max(a) FROM t"}) == 2);
}
