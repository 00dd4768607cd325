#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <stdexcept>
#include <system_error>

#include "bench/ceiling_beast.hpp"
#include "bench/workloads.hpp"

namespace haechi::bench {
namespace {

constexpr std::size_t kRowBytes = 700;

double own_cpu_s() {
  rusage self{};
  ::getrusage(RUSAGE_SELF, &self);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(self.ru_utime) + seconds(self.ru_stime);
}

/// A directory that is gone afterwards.
class Scratch {
 public:
  explicit Scratch(const std::string& parent) : path_(parent + "/bench-ceiling-" + std::to_string(::getpid())) {
    std::filesystem::create_directories(path_);
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string file(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

void measure_flush(WorkloadResult& result, Progress& progress, const std::string& path, double seconds) {
  const int fd = ::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), path);
  const std::string block(4096, 'x');
  constexpr off_t kBlocks = 4096;
  for (off_t i = 0; i < kBlocks; ++i) {
    if (::pwrite(fd, block.data(), block.size(), i * 4096) != 4096)
      throw std::system_error(errno, std::generic_category(), path);
  }
  ::fsync(fd);
  Histogram latencies;
  const auto start = now_ns();
  const auto end = start + static_cast<std::int64_t>(seconds * 1e9);
  std::int64_t now = start;
  for (off_t i = 0; now < end; ++i) {
    if (::pwrite(fd, block.data(), block.size(), (i % kBlocks) * 4096) != 4096 || ::fdatasync(fd) != 0) {
      throw std::system_error(errno, std::generic_category(), path);
    }
    const auto done = now_ns();
    latencies.add(done - now);
    now = done;
    if (i % 1024 == 0) progress.update("  fdatasync");
  }
  ::close(fd);
  result.add("ceiling.fdatasync", static_cast<double>(latencies.count()) * 1e9 / static_cast<double>(now - start),
             "flushes/s", "overwrite of 4 KiB in a preallocated file and fdatasync, one after the other");
  result.add("ceiling.fdatasync_latency", latencies, "one write and flush");
}

class Database {
 public:
  explicit Database(const std::string& path) {
    if (::sqlite3_open(path.c_str(), &db_) != SQLITE_OK) throw std::runtime_error(path + ": cannot be opened");
    run("PRAGMA page_size=4096");
    run("PRAGMA journal_mode=WAL");
    run("PRAGMA synchronous=FULL");
    run("PRAGMA wal_autocheckpoint=20000");
    run("PRAGMA cache_size=-262144");
    run("PRAGMA locking_mode=EXCLUSIVE");
    run("CREATE TABLE events(position INTEGER PRIMARY KEY, room INTEGER NOT NULL, body BLOB NOT NULL)");
    ::sqlite3_prepare_v2(db_, "INSERT INTO events(position, room, body) VALUES(?,?,?)", -1, &insert_, nullptr);
  }
  ~Database() {
    ::sqlite3_finalize(insert_);
    ::sqlite3_close(db_);
  }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void run(const char* sql) {
    if (::sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK)
      throw std::runtime_error(::sqlite3_errmsg(db_));
  }
  void insert(std::int64_t position, const std::string& body) {
    ::sqlite3_bind_int64(insert_, 1, position);
    ::sqlite3_bind_int64(insert_, 2, position % 100);
    ::sqlite3_bind_blob(insert_, 3, body.data(), static_cast<int>(body.size()), nullptr);
    if (::sqlite3_step(insert_) != SQLITE_DONE) throw std::runtime_error(::sqlite3_errmsg(db_));
    ::sqlite3_reset(insert_);
  }

 private:
  sqlite3* db_ = nullptr;
  sqlite3_stmt* insert_ = nullptr;
};

void measure_sqlite(WorkloadResult& result, Progress& progress, const std::string& path, int batch, double seconds) {
  Database db(path);
  std::string body(kRowBytes, 'x');
  Histogram commits;
  std::int64_t rows = 0;
  const double cpu = own_cpu_s();
  const auto start = now_ns();
  const auto end = start + static_cast<std::int64_t>(seconds * 1e9);
  auto now = start;
  while (now < end) {
    db.run("BEGIN IMMEDIATE");
    for (int i = 0; i < batch; ++i) {
      ++rows;
      body[static_cast<std::size_t>(rows) % kRowBytes] = static_cast<char>('a' + rows % 26);
      db.insert(rows, body);
    }
    db.run("COMMIT");
    const auto done = now_ns();
    commits.add(done - now);
    now = done;
    progress.update(fmt::format("  SQLite, {} rows a commit: {} rows", batch, rows));
  }
  const auto count = static_cast<double>(rows);
  const std::string key = fmt::format("ceiling.sqlite_{}", batch);
  result.add(key, count * 1e9 / static_cast<double>(now - start), "rows/s",
             fmt::format("bare SQLite group commit, WAL, synchronous=FULL, rows of {} bytes by ascending integer key, "
                         "{} a commit, no other index",
                         kRowBytes, batch));
  result.add(key + "_cpu", (own_cpu_s() - cpu) * 1e6 / count, "us/row", "CPU of the writing thread");
  result.add(key + "_commit", commits, "one commit");
}

}  // namespace

WorkloadResult run_ceilings(const Options& options, Progress& progress) {
  WorkloadResult result;
  result.name = "ceilings";
  result.shape = "what the bare parts do on this machine: HTTP without Matrix, SQLite without HTTP, the disk's flush";
  const double seconds = options.quick ? 0.5 : 4;
  const Scratch scratch(options.data_dir);
  measure_flush(result, progress, scratch.file("flush"), seconds);
  measure_sqlite(result, progress, scratch.file("a.db"), 32, seconds);
  measure_sqlite(result, progress, scratch.file("b.db"), 100, seconds);
  measure_beast(result, progress, seconds);
  return result;
}

}  // namespace haechi::bench
