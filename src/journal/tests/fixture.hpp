#pragma once
// A journal on a database of its own.

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>

#include "journal/journal.hpp"
#include "store/tests/engines.hpp"

namespace haechi::journal::test {

using namespace std::chrono_literals;
using store::Connection;
using store::Row;
using store::Sql;

class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "haechi-test-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string file(std::string_view name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

inline constexpr store::Migration kNotes[] = {
    {"notes", 1, "notes", "CREATE TABLE notes(pos BIGINT PRIMARY KEY, text TEXT NOT NULL);"}};
inline constexpr Sql kAddNote{"INSERT INTO notes(pos, text) VALUES($1, $2)"};
inline constexpr Sql kCountNotes{"SELECT count(*) FROM notes"};

/// What one run of a node has; several may follow each other on one file.
struct Node {
  using Wrap = std::function<std::unique_ptr<store::Database>(std::unique_ptr<store::Database>)>;

  explicit Node(const std::string& path, Options options = {}, const Wrap& wrap = nullptr)
      : Node(on_file(path), std::move(options), wrap) {}
  explicit Node(std::unique_ptr<store::Database> opened, Options options = {}, const Wrap& wrap = nullptr)
      : db(std::move(opened)) {
    std::vector<store::Migration> steps(Journal::migrations().begin(), Journal::migrations().end());
    steps.insert(steps.end(), std::begin(kNotes), std::end(kNotes));
    REQUIRE(store::migrate(*db, steps));
    if (wrap) db = wrap(std::move(db));
    readers = std::make_unique<store::Readers>(loop, *db, 2, 1000);
    auto made = Journal::create(loop, *db, *readers, clock, metrics, options);
    REQUIRE(made);
    journal = *std::move(made);
  }
  ~Node() {
    if (journal) loop.run(journal->stop());
  }

  static std::unique_ptr<store::Database> on_file(const std::string& path) {
    auto opened = store::open_sqlite({.path = path, .checkpoint_pages = 200, .cache_mib = 4});
    REQUIRE(opened);
    return *std::move(opened);
  }

  /// Runs a command that writes one note, in the module's own table.
  Result<Position> note(std::string text, Guard guard = Guard::Bare) {
    return loop.run(journal->submit([text = std::move(text)](Tx& tx) { return write_note(tx, text); }, guard));
  }
  static Result<Position> write_note(Tx& tx, std::string_view text) {
    const auto pos = tx.append_stored(7, nullptr);
    tx.sql().exec(kAddNote, pos, text);
    return pos;
  }
  std::int64_t count_notes() {
    auto n =
        loop.run(readers->read([](Connection& c) -> Result<std::int64_t> { return c.one_i64(kCountNotes).value(); }));
    REQUIRE(n);
    return *n;
  }

  ManualClock clock;
  ManualLoop loop{clock};
  Metrics metrics;
  std::unique_ptr<store::Database> db;
  std::unique_ptr<store::Readers> readers;
  std::unique_ptr<Journal> journal;
};

}  // namespace haechi::journal::test
