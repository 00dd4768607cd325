#include "store/store.hpp"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "base/log.hpp"
#include "store/sqlite_connection.hpp"

namespace haechi::store {
namespace {

/// Held as long as the database is open. flock goes away with the process, however it ends.
class LockFile {
 public:
  static Result<LockFile> take(const std::string& path) {
    LockFile lock;
    lock.fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock.fd_ < 0) return fail(Errc::Io, path + ": " + std::strerror(errno));
    if (::flock(lock.fd_, LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return fail(Errc::Io, path + ": " + std::strerror(errno));
      return fail(Errc::Conflict, path + " is locked: another haechi uses this database");
    }
    return lock;
  }
  LockFile(LockFile&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  LockFile& operator=(LockFile&&) = delete;
  ~LockFile() {
    if (fd_ >= 0) ::close(fd_);
  }

 private:
  LockFile() = default;
  int fd_ = -1;
};

/// Connections to one file, and the thread that moves its write-ahead log into the
/// main file. That thread works beside the writer and so never catches up with it
/// entirely; once little is left, the writer itself moves the rest between two of
/// its batches, after which the log starts again from its beginning.
class SqliteDatabase final : public Database {
 public:
  SqliteDatabase(SqliteOptions options, LockFile lock)
      : options_(std::move(options)), lock_(std::move(lock)), keeper_(options_, Access::ReadWrite) {
    checkpointer_ = std::thread([this] { checkpoint_in_background(); });
    pthread_setname_np(checkpointer_.native_handle(), "checkpoint");
  }

  ~SqliteDatabase() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    checkpointer_.join();
  }

  std::unique_ptr<Connection> connect(Access access) override {
    return std::make_unique<SqliteConnection>(options_, access);
  }

  std::string_view engine() const override { return "sqlite"; }

  void checkpoint(Connection& connection) override {
    auto* c = dynamic_cast<SqliteConnection*>(&connection);
    if (!c) return;
    const int pages = c->log_pages();
    if (pages < next_attempt_) {
      // Shorter than at the last attempt: the log has begun again.
      if (pages < options_.checkpoint_pages) next_attempt_ = options_.checkpoint_pages;
      return;
    }
    if (!writer_turn_.exchange(false, std::memory_order_acq_rel)) {
      const std::lock_guard lock(mutex_);
      if (!due_) {
        due_ = true;
        wake_.notify_one();
      }
      return;
    }
    // Readers that use the log keep it from beginning again. Usually the next attempt finds
    // none; a log that has become very long is worth a short wait.
    using enum SqliteConnection::Patience;
    next_attempt_ = pages + options_.checkpoint_pages / 16;
    try {
      c->checkpoint(pages > 4 * options_.checkpoint_pages ? WaitForReaders : None);
    } catch (const SqlError& e) {
      log::error("the checkpoint failed", {{"error", e.what()}});  // nothing is lost: the log stays longer
    }
  }

 private:
  void checkpoint_in_background() {
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [&] { return due_ || stopping_; });
      if (stopping_) return;
      lock.unlock();
      try {
        // What the writer is left with must fit between two batches.
        const int enough = std::max(64, options_.checkpoint_pages / 64);
        int left = keeper_.checkpoint();
        for (int pass = 1; left > enough && pass < 4; ++pass) left = keeper_.checkpoint();
        writer_turn_.store(true, std::memory_order_release);
        lock.lock();
        due_ = false;
        continue;
      } catch (const SqlError& e) {
        log::error("the checkpoint failed", {{"error", e.what()}});
        lock.lock();
        wake_.wait_for(lock, std::chrono::seconds(1), [&] { return stopping_; });
        due_ = false;
      }
    }
  }

  const SqliteOptions options_;
  const LockFile lock_;
  SqliteConnection keeper_;  // kept open so that the log outlives other connections
  std::mutex mutex_;
  std::condition_variable wake_;
  bool due_ = false;
  bool stopping_ = false;
  std::atomic<bool> writer_turn_{false};
  int next_attempt_ = options_.checkpoint_pages;  // of the log's length; the writer's thread only
  std::thread checkpointer_;
};

}  // namespace

Result<std::unique_ptr<Database>> open_sqlite(SqliteOptions options) {
  static const int configured = [] {
    sqlite3_config(SQLITE_CONFIG_MULTITHREAD);   // a connection has one thread at a time
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);  // else every allocation takes a global mutex
    return sqlite3_initialize();
  }();
  if (configured != SQLITE_OK) return fail(Errc::Io, "SQLite cannot start");
  TRY(auto lock, LockFile::take(options.path + ".lock"));
  try {
    return std::make_unique<SqliteDatabase>(std::move(options), std::move(lock));
  } catch (const SqlError& e) {
    return fail(Errc::Io, e.what());
  }
}

}  // namespace haechi::store
