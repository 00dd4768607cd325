#include "blob/database_keeper.hpp"

#include <algorithm>

namespace haechi::blob {
namespace {

constexpr std::uint64_t kRowBytes = 256 * 1024;
constexpr std::uint64_t kGroupRows = 4;
constexpr std::uint64_t kRemoveRows = 64;

// The second writing after a commit in doubt must be a writing too: only then the answer
// waits until another site has it.
constexpr store::Sql kPut{
    "INSERT INTO blob_rows (name, number, bytes) VALUES ($1, $2, $3) "
    "ON CONFLICT (name, number) DO UPDATE SET bytes = excluded.bytes"};
constexpr store::Sql kGet{
    "SELECT number, bytes FROM blob_rows WHERE name = $1 AND number >= $2 AND number < $3 ORDER BY number"};
constexpr store::Sql kLast{"SELECT max(number) FROM blob_rows WHERE name = $1"};
constexpr store::Sql kRemove{"DELETE FROM blob_rows WHERE name = $1 AND number >= $2"};
constexpr store::Sql kStorage{
    "SELECT CASE WHEN attstorage = 'e' THEN 1 ELSE 0 END FROM pg_attribute "
    "WHERE attrelid = 'blob_rows'::regclass AND attname = 'bytes'"};

}  // namespace

Result<> DatabaseKeeper::prepare(store::Database& db) try {
  if (db.engine() != "postgresql") return {};
  const auto c = db.connect(store::Access::ReadWrite);
  // Asked first: the change needs a lock that would make running uploads wait.
  if (c->one_i64(kStorage).value_or(0) == 0) c->script("ALTER TABLE blob_rows ALTER COLUMN bytes SET STORAGE EXTERNAL");
  return {};
} catch (const store::SqlError& e) {
  return fail(Errc::Io, e.what());
}

Result<> DatabaseKeeper::write(const std::string& name, const Original& from, const Alive& alive) {
  std::string group;
  for (std::uint64_t at = 0; at < from.bytes; at += group.size()) {
    group.resize(static_cast<std::size_t>(std::min(kGroupRows * kRowBytes, from.bytes - at)));
    TRY(const std::size_t n, from.files.read(from.fd, group, at));
    if (n != group.size()) return fail(Errc::Io, "a file of an upload became shorter");
    TRY_DO(alive());
    TRY_DO(sessions_.run([&](store::Connection& c) -> Result<> {
      for (std::uint64_t in = 0; in < group.size(); in += kRowBytes) {
        c.put(kPut, name, (at + in) / kRowBytes, store::Blob{std::string_view(group).substr(in, kRowBytes)});
      }
      return {};
    }));
  }
  return {};
}

Result<> DatabaseKeeper::read(const std::string& name, std::uint64_t offset, std::uint64_t length, const Sink& sink) {
  std::string group;  // handed on outside of the transaction: the sink may be slow
  for (const auto end = offset + length; offset < end;) {
    const auto first = offset / kRowBytes;
    const auto last = std::min(first + kGroupRows, (end + kRowBytes - 1) / kRowBytes);
    TRY_DO(sessions_.run([&](store::Connection& c) -> Result<> {
      group.clear();
      auto next = first;
      c.each(
          kGet,
          [&](const store::Row& r) {
            if (static_cast<std::uint64_t>(r.i64(0)) == next++) group.append(r.text(1));
          },
          name, first, last);
      return {};
    }));
    const auto skip = static_cast<std::size_t>(offset - first * kRowBytes);
    const auto want = static_cast<std::size_t>(std::min(end, last * kRowBytes) - offset);
    if (group.size() < skip + want) return fail(Errc::NotFound, "rows of a content are missing");
    TRY_DO(sink(std::string_view(group).substr(skip, want)));
    offset += want;
  }
  return {};
}

Result<> DatabaseKeeper::remove(const std::string& name) {
  // From the end in small commits: as with writing, nobody shall wait for long behind it.
  while (true) {
    TRY(const bool more, sessions_.run([&](store::Connection& c) -> Result<bool> {
      const auto last = c.one_i64(kLast, name);
      if (!last) return false;
      const auto from = std::max<std::int64_t>(0, *last + 1 - static_cast<std::int64_t>(kRemoveRows));
      c.exec(kRemove, name, from);
      return from > 0;
    }));
    if (!more) return {};
  }
}

}  // namespace haechi::blob
