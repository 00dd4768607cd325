#include "store/sqlite_copy.hpp"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace haechi::store {
namespace {

constexpr int kPagesAtOnce = 2'000;  // 8 MiB between two words of progress
constexpr int kBusyMs = 10'000;

struct Close {
  void operator()(sqlite3* db) const { sqlite3_close(db); }
};
using Handle = std::unique_ptr<sqlite3, Close>;

std::unexpected<Error> failed(sqlite3* db, const std::string& path) {
  return fail(Errc::Io, path + ": " + (db ? sqlite3_errmsg(db) : "out of memory"));
}

Result<Handle> open(const std::string& path, int flags) {
  sqlite3* raw = nullptr;
  const int rc = sqlite3_open_v2(path.c_str(), &raw, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  Handle db(raw);
  if (rc != SQLITE_OK) return failed(raw, path);
  sqlite3_busy_timeout(raw, kBusyMs);
  return db;
}

Result<> run(sqlite3* db, const std::string& path, const char* sql) {
  if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return failed(db, path);
  return {};
}

}  // namespace

Result<> copy_sqlite(const std::string& from, const std::string& to,
                     const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  if (::access(from.c_str(), R_OK) != 0) {
    return fail(errno == ENOENT ? Errc::NotFound : Errc::Io, from + ": " + std::strerror(errno));
  }
  // For writing, because readers of a database in use note themselves in its index of the log.
  TRY(const Handle source, open(from, SQLITE_OPEN_READWRITE));
  TRY(const Handle target, open(to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE));
  // A transaction of our own pins one state: without it the copy would start anew with each commit.
  TRY_DO(run(source.get(), from, "BEGIN; SELECT count(*) FROM sqlite_schema;"));
  sqlite3_backup* const copy = sqlite3_backup_init(target.get(), "main", source.get(), "main");
  if (!copy) return failed(target.get(), to);
  int rc = SQLITE_OK;
  while (rc == SQLITE_OK) {
    rc = sqlite3_backup_step(copy, kPagesAtOnce);
    const auto all = static_cast<std::uint64_t>(sqlite3_backup_pagecount(copy));
    if (progress) progress(all - static_cast<std::uint64_t>(sqlite3_backup_remaining(copy)), all);
  }
  if (sqlite3_backup_finish(copy) != SQLITE_OK) return failed(target.get(), to);
  if (rc != SQLITE_DONE) return fail(Errc::Io, to + ": " + sqlite3_errstr(rc));
  return {};  // finishing has synced the pages
}

Result<> check_sqlite(const std::string& path) {
  TRY(const Handle db, open(path, SQLITE_OPEN_READWRITE));
  std::string found;
  const auto remember = [](void* into, int, char** values, char**) {
    auto& text = *static_cast<std::string*>(into);
    if (text.empty()) text = values[0] ? values[0] : "";
    return 0;
  };
  if (sqlite3_exec(db.get(), "PRAGMA quick_check(1)", remember, &found, nullptr) != SQLITE_OK) {
    return failed(db.get(), path);
  }
  if (found != "ok") return fail(Errc::Io, path + ": " + found);
  return {};
}

}  // namespace haechi::store
