// What a durable command costs: the journal beside a bare SQLite loop that writes the
// same rows in batches of the same size. A plain program; one line per case.
//   journal_bench [DIR] [seconds] [only this many outstanding]

#include <sqlite3.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/log.hpp"
#include "journal/journal.hpp"

using namespace haechi;
using std::chrono::steady_clock;

namespace {

double cpu_seconds(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}
double process_cpu() { return cpu_seconds(CLOCK_PROCESS_CPUTIME_ID); }
double thread_cpu() { return cpu_seconds(CLOCK_THREAD_CPUTIME_ID); }

constexpr store::Migration kEvents[] = {
    {"bench", 1, "events", "CREATE TABLE events(pos BIGINT PRIMARY KEY, room BIGINT NOT NULL, json TEXT NOT NULL);"}};
constexpr store::Sql kInsert{"INSERT INTO events(pos, room, json) VALUES($1, $2, $3)"};

struct Result_ {
  std::uint64_t commands = 0;
  double seconds = 0, loop_cpu = 0, other_cpu = 0;
  double batch = 0;
  std::vector<double> latencies;
};

void print(const char* name, Result_ r) {
  const auto n = static_cast<double>(r.commands);
  std::ranges::sort(r.latencies);
  const auto at = [&](double q) {
    return r.latencies.empty()
               ? 0.0
               : r.latencies[static_cast<std::size_t>(q * static_cast<double>(r.latencies.size() - 1))] * 1e3;
  };
  std::printf("%-34s %8.0f/s  batch %6.1f  CPU us: loop %5.1f, commit %5.1f   ms: p50 %5.2f  p99 %6.2f  p99.9 %6.2f\n",
              name, n / r.seconds, r.batch, r.loop_cpu / n * 1e6, r.other_cpu / n * 1e6, at(0.5), at(0.99), at(0.999));
  std::fflush(stdout);
}

struct Load {
  journal::Journal& journal;
  const std::string& json;
  bool keyed;
  bool stop = false;
  Result_ result;
  std::uint64_t next = 0;
};

Task<void> client(Load& load) {
  while (!load.stop) {
    const auto number = load.next++;
    const auto begin = steady_clock::now();
    const auto apply = [&load, number](journal::Tx& tx) -> Result<std::string> {
      const auto pos = tx.append_stored(1, nullptr);
      tx.sql().exec(kInsert, pos, number % 100, load.json);
      return std::string("$0123456789abcdefghijklmnopqrstuvwxyzABCDEFG");
    };
    bool good = false;
    if (load.keyed) {
      auto claim = co_await load.journal.claim(
          {"@user12345:haechi.example|DEVICEID01|/rooms/!abcdefghijklmnop:haechi.example/send/m.room.message",
           "m17000000000." + std::to_string(number)});
      if (!claim) std::abort();
      good = (co_await load.journal.submit(*claim, apply, journal::Guard::Bare)).has_value();
    } else {
      good = (co_await load.journal.submit(apply, journal::Guard::Bare)).has_value();
    }
    if (!good) std::abort();
    ++load.result.commands;
    load.result.latencies.push_back(std::chrono::duration<double>(steady_clock::now() - begin).count());
  }
}

double run_journal(const std::string& path, const std::string& json, int outstanding, bool keyed, double seconds) {
  ManualClock clock;
  ManualLoop loop(clock);
  Metrics metrics;
  const char* pages = std::getenv("CHECKPOINT_PAGES");
  auto db = store::open_sqlite({.path = path, .checkpoint_pages = pages ? std::atoi(pages) : 20000}).value();
  std::vector<store::Migration> steps(journal::Journal::migrations().begin(), journal::Journal::migrations().end());
  steps.push_back(kEvents[0]);
  if (!store::migrate(*db, steps)) std::abort();
  store::Readers readers(loop, *db, 2, 1000);
  auto j = journal::Journal::create(loop, *db, readers, clock, metrics, {}).value();
  std::size_t batches = 0;
  j->subscribe([&](std::span<const journal::Entry>) { ++batches; });
  j->start();
  Load load{*j, json, keyed};
  Scope scope;
  const double all = process_cpu(), own = thread_cpu();
  const auto begin = steady_clock::now();
  for (int i = 0; i < outstanding; ++i) scope.spawn(client(load));
  loop.run_until([&] {
    load.stop = std::chrono::duration<double>(steady_clock::now() - begin).count() > seconds;
    return load.stop;
  });
  load.result.seconds = std::chrono::duration<double>(steady_clock::now() - begin).count();
  load.result.loop_cpu = thread_cpu() - own;
  load.result.other_cpu = process_cpu() - all - load.result.loop_cpu;
  load.result.batch = static_cast<double>(load.result.commands) / static_cast<double>(batches);
  const double batch = load.result.batch;
  loop.run_until([&] { return scope.running() == 0; });
  const std::string name = std::string("journal, ") + std::to_string(outstanding) + (keyed ? ", keyed" : ", unkeyed");
  print(name.c_str(), load.result);
  loop.run(j->stop());
  return batch;
}

void check(int rc) {
  if (rc != SQLITE_OK && rc != SQLITE_DONE) std::abort();
}

void run_bare(const std::string& path, const std::string& json, int batch, bool keyed, double seconds) {
  sqlite3* db = nullptr;
  check(sqlite3_open(path.c_str(), &db));
  check(sqlite3_exec(db,
                     "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=20000;"
                     "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-262144;"
                     "CREATE TABLE e(pos INTEGER PRIMARY KEY, room INTEGER, json TEXT);"
                     "CREATE TABLE k(pos INTEGER PRIMARY KEY, hash INTEGER, key TEXT, answer TEXT, at INTEGER)",
                     nullptr, nullptr, nullptr));
  sqlite3_stmt *begin_s, *commit_s, *insert, *key;
  check(sqlite3_prepare_v2(db, "BEGIN IMMEDIATE", -1, &begin_s, nullptr));
  check(sqlite3_prepare_v2(db, "COMMIT", -1, &commit_s, nullptr));
  check(sqlite3_prepare_v2(db, "INSERT INTO e VALUES(?,?,?)", -1, &insert, nullptr));
  check(sqlite3_prepare_v2(db, "INSERT INTO k VALUES(?,?,?,?,?)", -1, &key, nullptr));
  const std::string full(120, 'k'), answer(44, 'a');
  Result_ r;
  std::int64_t pos = 0;
  const double own = thread_cpu();
  const auto begin = steady_clock::now();
  while (r.seconds < seconds) {
    const auto at = steady_clock::now();
    check(sqlite3_step(begin_s));
    check(sqlite3_reset(begin_s));
    for (int i = 0; i < batch; ++i) {
      ++pos;
      sqlite3_bind_int64(insert, 1, pos);
      sqlite3_bind_int64(insert, 2, pos % 100);
      sqlite3_bind_text(insert, 3, json.data(), static_cast<int>(json.size()), SQLITE_STATIC);
      check(sqlite3_step(insert));
      check(sqlite3_reset(insert));
      if (!keyed) continue;
      sqlite3_bind_int64(key, 1, pos);
      sqlite3_bind_int64(key, 2, pos * 0x9e3779b97f4a7c1);
      sqlite3_bind_text(key, 3, full.data(), static_cast<int>(full.size()), SQLITE_STATIC);
      sqlite3_bind_text(key, 4, answer.data(), static_cast<int>(answer.size()), SQLITE_STATIC);
      sqlite3_bind_int64(key, 5, 1'700'000'000'000);
      check(sqlite3_step(key));
      check(sqlite3_reset(key));
    }
    check(sqlite3_step(commit_s));
    check(sqlite3_reset(commit_s));
    r.commands += static_cast<std::uint64_t>(batch);
    const auto now = steady_clock::now();
    r.latencies.push_back(std::chrono::duration<double>(now - at).count());
    r.seconds = std::chrono::duration<double>(now - begin).count();
  }
  r.other_cpu = thread_cpu() - own;
  r.batch = batch;
  print((std::string("bare SQLite") + (keyed ? ", keyed" : ", unkeyed")).c_str(), r);
  for (auto* s : {begin_s, commit_s, insert, key}) sqlite3_finalize(s);
  sqlite3_close(db);
}

}  // namespace

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  const fs::path dir = fs::path(argc > 1 ? argv[1] : ".") / "journal-bench";
  const double seconds = argc > 2 ? std::atof(argv[2]) : 5;
  log::set_level(log::Level::Warn);
  const std::string json(700, 'x');
  for (const bool keyed : {false, true}) {
    for (const int outstanding : {1, 16, 64, 256}) {
      if (argc > 3 && std::atoi(argv[3]) != outstanding) continue;
      fs::remove_all(dir);
      fs::create_directories(dir);
      const double batch = run_journal((dir / "j").string(), json, outstanding, keyed, seconds);
      run_bare((dir / "b").string(), json, std::max(1, static_cast<int>(batch)), keyed, seconds);
    }
  }
  fs::remove_all(dir);
}
