#include "app/backup.hpp"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "base/hash.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "blob/blob_store.hpp"
#include "blob/file_system.hpp"
#include "blob/spool.hpp"
#include "blob/types.hpp"
#include "store/sqlite_copy.hpp"
#include "store/store.hpp"

namespace haechi::app::backup {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBlock = 1024 * 1024;
constexpr std::string_view kKind = "sqlite";
constexpr int kRounds = 3;  ///< of database and media, while media vanish in between

constexpr store::Sql kBlobs{"SELECT sha256, bytes FROM blobs WHERE refs > 0 ORDER BY sha256"};
constexpr store::Sql kServerName{"SELECT value FROM node_settings WHERE name = 'server_name'"};

using Media = std::map<std::string, std::uint64_t>;  ///< bytes by checksum

blob::FileSystem& files() {
  static const auto posix = blob::posix_file_system();
  return *posix;
}

std::string media_path(const std::string& root, const std::string& sha) {
  return root + "/media/" + sha.substr(0, 2) + '/' + sha;
}

Result<> make_dirs(const std::string& path) {
  std::error_code ec;
  fs::create_directories(path, ec);
  if (ec) return fail(Errc::Io, path + ": " + ec.message());
  return {};
}

/// Copies and hashes in one go; synced, under its name only when the checksum is `expected`
/// (empty: any). Says the checksum.
Result<std::string> copy_file(const std::string& from, const std::string& to, const std::string& expected) {
  TRY(const std::uint64_t size, files().size(from));
  TRY(const int in, files().open_read(from));
  const blob::File source(in, size);
  const auto temp = to + ".part";
  TRY_DO(files().remove(temp));
  TRY(const int out, files().create(temp));
  const blob::File target(out, size);
  Sha256Stream hash;
  std::string block(static_cast<std::size_t>(std::min<std::uint64_t>(size, kBlock)), '\0');
  auto copied = [&]() -> Result<> {
    for (std::uint64_t at = 0; at < size;) {
      TRY(const std::size_t n, files().read(in, block, at));
      if (n == 0) return fail(Errc::Io, from + " became shorter while it was read");
      hash.update({block.data(), n});
      TRY_DO(files().write(out, {block.data(), n}));
      at += n;
    }
    return files().sync(out);
  }();
  const auto sum = hash.finish();
  if (copied && !expected.empty() && blob::to_hex(sum) != expected) copied = fail(Errc::Io, from + " is damaged");
  if (copied) copied = files().rename(temp, to);
  if (!copied) {
    static_cast<void>(files().remove(temp));
    return std::unexpected(std::move(copied.error()));
  }
  return blob::to_hex(sum);
}

Result<std::string> checksum_of(const std::string& path) {
  TRY(const std::uint64_t size, files().size(path));
  TRY(const int fd, files().open_read(path));
  const blob::File file(fd, size);
  TRY(const Sha256 sum, blob::checksum(files(), fd, size));
  return blob::to_hex(sum);
}

Result<> write_file(const std::string& path, const std::string& text) {
  TRY_DO(files().remove(path));
  TRY(const int fd, files().create(path));
  const blob::File file(fd, text.size());
  TRY_DO(files().write(fd, text));
  return files().sync(fd);
}

Result<std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  if (!in || !(out << in.rdbuf())) return fail(Errc::Io, path + " cannot be read");
  return std::move(out).str();
}

std::string id_of(WallMs ms) {
  const auto seconds = static_cast<std::time_t>(ms / 1000);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &utc);
  return text;
}

bool is_id(const std::string& name) {
  return name.size() == 16 && name[8] == 'T' && name[15] == 'Z' &&
         std::ranges::count_if(name, [](char c) { return c >= '0' && c <= '9'; }) == 14;
}

/// What the copied database says of itself.
struct Known {
  std::string server_name;
  Media media;
};

Result<Known> ask(const std::string& path) {
  Known known;
  auto read = [&]() -> Result<> {
    try {
      TRY(const auto db, store::open_sqlite({.path = path}));
      const auto c = db->connect(store::Access::ReadWrite);
      known.server_name = c->one(kServerName, [](const store::Row& r) { return r.str(0); }).value_or("");
      c->each(kBlobs,
              [&](const store::Row& r) { known.media.emplace(r.str(0), static_cast<std::uint64_t>(r.i64(1))); });
      return {};
    } catch (const store::SqlError& e) {
      return fail(Errc::Io, path + ": " + e.what());
    }
  }();
  for (const auto* rest : {".lock", "-wal", "-shm"}) static_cast<void>(files().remove(path + rest));
  if (!read) return std::unexpected(std::move(read.error()));
  if (known.server_name.empty()) return fail(Errc::Invalid, path + " is no database of Haechi");
  return known;
}

/// Copies what the target lacks. What is not there (any more) stays out.
Result<> copy_media(const std::string& data, const std::string& target, const Media& wanted,
                    const BackupProgress& progress) {
  std::uint64_t done = 0;
  std::vector<std::string> touched;
  for (const auto& [sha, bytes] : wanted) {
    progress("media", done++, wanted.size());
    const auto to = media_path(target, sha);
    if (const auto there = files().size(to); there && *there == bytes) continue;
    const auto folder = fs::path(to).parent_path().string();
    TRY_DO(make_dirs(folder));
    const auto copied = copy_file(media_path(data, sha), to, sha);
    if (!copied && copied.error().is(blob::Errc::NotFound)) continue;
    if (!copied && copied.error().message.ends_with("is damaged")) continue;  // told as missing
    if (!copied) return std::unexpected(copied.error());
    if (touched.empty() || touched.back() != folder) touched.push_back(folder);
  }
  for (const auto& folder : touched) TRY_DO(files().sync_dir(folder));
  progress("media", wanted.size(), wanted.size());
  return files().sync_dir(target + "/media");
}

/// All that the folder holds now, whatever the database says.
Media media_now(const std::string& data) {
  Media out;
  std::error_code ec;
  for (const auto& e : fs::recursive_directory_iterator(data + "/media", ec)) {
    const auto name = e.path().filename().string();
    std::error_code gone;
    if (blob::sha256_from_hex(name) && e.is_regular_file(gone) &&
        e.path().parent_path().filename() == name.substr(0, 2)) {
      out.emplace(name, e.file_size(gone));
    }
  }
  return out;
}

Result<Backup> read_manifest(const std::string& target, const std::string& id, json::object* raw = nullptr) {
  const auto path = target + '/' + id + "/manifest.json";
  TRY(const auto text, read_file(path));
  auto parsed = parse_json_object(text);
  if (!parsed) return std::unexpected(std::move(parsed.error()).in(path));
  if (get_string(*parsed, "kind") != kKind) return fail(Errc::Invalid, path + ": not a backup that this program knows");
  const auto number = [&](std::string_view key) {
    return static_cast<std::uint64_t>(get_int(*parsed, key).value_or(0));
  };
  Backup b{.id = id,
           .server_name = std::string(get_string(*parsed, "server_name").value_or("")),
           .version = std::string(get_string(*parsed, "version").value_or("")),
           .created_ms = get_int(*parsed, "created_ms").value_or(0),
           .database_bytes = number("database_bytes"),
           .media = number("media"),
           .media_bytes = number("media_bytes"),
           .missing = number("missing")};
  if (raw) *raw = *std::move(parsed);
  return b;
}

/// The one asked for, or the newest.
Result<std::string> choose(const std::string& target, const std::string& id) {
  TRY(const auto all, list(target));
  if (all.empty()) return fail(Errc::NotFound, "there is no backup in " + target);
  if (id.empty()) return all.back().id;
  for (const auto& b : all) {
    if (b.id == id) return id;
  }
  return fail(Errc::NotFound, "there is no backup " + id + " in " + target);
}

Result<Media> read_media_list(const std::string& path, const std::string& expected) {
  TRY(const auto sum, checksum_of(path));
  if (sum != expected) return fail(Errc::Io, path + " is damaged");
  TRY(const auto text, read_file(path));
  Media out;
  for (const auto line : split(text, '\n')) {
    if (line.empty()) continue;
    const auto space = line.find(' ');
    const auto bytes = space == std::string_view::npos ? std::nullopt : parse_int(line.substr(space + 1));
    if (!bytes || !blob::sha256_from_hex(line.substr(0, space))) return fail(Errc::Io, path + " is damaged");
    out.emplace(line.substr(0, space), static_cast<std::uint64_t>(*bytes));
  }
  return out;
}

}  // namespace

Result<Backup> create(const std::string& data, const std::string& target, const BackupProgress& progress) {
  if (!fs::exists(data + "/haechi.db"))
    return fail(Errc::NotFound, data + " holds no database: is it the data folder?");
  std::error_code ec;
  const auto inside = fs::relative(fs::weakly_canonical(target, ec), fs::weakly_canonical(data, ec), ec);
  if (!inside.empty() && *inside.begin() != "..")
    return fail(Errc::Invalid, "the backup must not be inside the data folder");
  TRY_DO(make_dirs(target + "/media"));
  fs::permissions(target, fs::perms::owner_all, ec);

  const auto created = SystemClock().wall_ms();
  Backup b{.id = id_of(created), .version = HAECHI_VERSION, .created_ms = created};
  const auto place = target + '/' + b.id;
  if (fs::exists(place)) return fail(Errc::Conflict, "there is a backup of this second already");
  const auto temp = target + "/.unfinished";
  fs::remove_all(temp, ec);
  TRY_DO(make_dirs(temp));
  const auto copy = temp + "/haechi.db";

  // Media first, then the database, then what it names: a content that is deleted between two of
  // these is here from before.
  TRY_DO(copy_media(data, target, media_now(data), progress));
  Known known;
  std::string list;
  for (int round = 0; round < kRounds; ++round) {
    TRY_DO(files().remove(copy));
    TRY_DO(
        store::copy_sqlite(data + "/haechi.db", copy, [&](auto done, auto all) { progress("database", done, all); }));
    TRY(known, ask(copy));
    TRY_DO(copy_media(data, target, known.media, progress));
    list.clear();
    b.media = b.media_bytes = b.missing = 0;
    for (const auto& [sha, bytes] : known.media) {
      const auto there = files().size(media_path(target, sha));
      if (!there || *there != bytes) {
        ++b.missing;
        continue;
      }
      ++b.media;
      b.media_bytes += bytes;
      list += sha + ' ' + std::to_string(bytes) + '\n';
    }
    if (b.missing == 0) break;
  }
  b.server_name = known.server_name;
  TRY_DO(write_file(temp + "/media.txt", list));
  TRY(b.database_bytes, files().size(copy));
  TRY(const auto database_sum, checksum_of(copy));
  TRY(const auto list_sum, checksum_of(temp + "/media.txt"));
  TRY_DO(write_file(temp + "/manifest.json", to_text(json::object{{"kind", kKind},
                                                                  {"server_name", b.server_name},
                                                                  {"version", b.version},
                                                                  {"created_ms", b.created_ms},
                                                                  {"database_bytes", b.database_bytes},
                                                                  {"database_sha256", database_sum},
                                                                  {"media", b.media},
                                                                  {"media_bytes", b.media_bytes},
                                                                  {"missing", b.missing},
                                                                  {"media_list_sha256", list_sum}}) +
                                                 '\n'));
  TRY_DO(files().sync_dir(temp));
  TRY_DO(files().rename(temp, place));
  TRY_DO(files().sync_dir(target));
  return b;
}

Result<std::vector<Backup>> list(const std::string& target) {
  TRY(const auto names, files().list(target));
  std::vector<Backup> out;
  for (const auto& name : names) {
    if (!is_id(name)) continue;
    TRY(auto b, read_manifest(target, name));
    out.push_back(std::move(b));
  }
  std::ranges::sort(out, {}, &Backup::id);
  return out;
}

Result<Backup> verify(const std::string& target, const std::string& wanted, const BackupProgress& progress) {
  TRY(const auto id, choose(target, wanted));
  json::object manifest;
  TRY(auto b, read_manifest(target, id, &manifest));
  const auto folder = target + '/' + id;
  progress("database", 0, 1);
  TRY(const auto sum, checksum_of(folder + "/haechi.db"));
  if (sum != get_string(manifest, "database_sha256")) return fail(Errc::Io, folder + "/haechi.db is damaged");
  progress("database", 1, 1);
  TRY(const auto media,
      read_media_list(folder + "/media.txt", std::string(get_string(manifest, "media_list_sha256").value_or(""))));
  std::uint64_t done = 0;
  for (const auto& [sha, bytes] : media) {
    progress("media", done++, media.size());
    const auto path = media_path(target, sha);
    const auto there = checksum_of(path);
    if (!there || *there != sha) return fail(Errc::Io, path + (there ? " is damaged" : " is missing"));
  }
  progress("media", media.size(), media.size());
  return b;
}

Result<Backup> restore(const std::string& target, const std::string& wanted, const std::string& data,
                       const BackupProgress& progress) {
  std::error_code ec;
  if (fs::exists(data, ec) && (!fs::is_directory(data, ec) || !fs::is_empty(data, ec))) {
    return fail(Errc::Conflict, data + " is not empty: a backup is restored to an empty folder only");
  }
  TRY(const auto id, choose(target, wanted));
  json::object manifest;
  TRY(auto b, read_manifest(target, id, &manifest));
  const auto folder = target + '/' + id;
  TRY(const auto media,
      read_media_list(folder + "/media.txt", std::string(get_string(manifest, "media_list_sha256").value_or(""))));

  const bool was_there = fs::exists(data, ec);
  auto restored = [&]() -> Result<> {
    TRY_DO(make_dirs(data + "/media"));
    fs::permissions(data, fs::perms::owner_all, ec);
    std::uint64_t done = 0;
    for (const auto& [sha, bytes] : media) {
      progress("media", done++, media.size());
      const auto to = media_path(data, sha);
      TRY_DO(make_dirs(fs::path(to).parent_path()));
      TRY_DO(copy_file(media_path(target, sha), to, sha));
    }
    for (const auto& e : fs::directory_iterator(data + "/media", ec)) TRY_DO(files().sync_dir(e.path()));
    TRY_DO(files().sync_dir(data + "/media"));
    progress("media", media.size(), media.size());
    // Last: a folder with a database is a whole one.
    progress("database", 0, 1);
    const auto at = data + "/restored.db";
    TRY_DO(copy_file(folder + "/haechi.db", at, std::string(get_string(manifest, "database_sha256").value_or("-"))));
    TRY_DO(store::check_sqlite(at));
    for (const auto* rest : {"-wal", "-shm"}) TRY_DO(files().remove(at + rest));
    TRY_DO(files().rename(at, data + "/haechi.db"));
    TRY_DO(files().sync_dir(data));
    progress("database", 1, 1);
    return {};
  }();
  if (restored) return b;
  if (was_there) {
    for (const auto& e : fs::directory_iterator(data, ec)) fs::remove_all(e.path(), ec);
  } else {
    fs::remove_all(data, ec);
  }
  return std::unexpected(std::move(restored.error()));
}

}  // namespace haechi::app::backup
