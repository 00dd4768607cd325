#include "app/backup.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "app/backup_cluster.hpp"
#include "app/parts.hpp"
#include "app/server_name.hpp"
#include "base/hash.hpp"
#include "blob/types.hpp"

using namespace haechi;
using namespace haechi::app;
namespace fs = std::filesystem;

namespace {

constexpr store::Sql kAddBlob{
    "INSERT INTO blobs (sha256, bytes, refs, quarantined, created_ms) VALUES ($1, $2, 1, 0, 0)"};
constexpr store::Sql kCountBlobs{"SELECT count(*) FROM blobs"};

const BackupProgress kQuiet = [](std::string_view, std::uint64_t, std::uint64_t) {};

std::string temp_dir() {
  std::string pattern = fs::temp_directory_path().string() + "/haechi-backup-XXXXXX";
  return ::mkdtemp(pattern.data());
}

struct Fixture {
  Fixture() {
    fs::create_directories(data);
    db = store::open_sqlite({.path = data + "/haechi.db"}).value();
    const auto steps = all_migrations();
    REQUIRE(store::migrate(*db, steps).has_value());
    REQUIRE(check_server_name(*db, "hs").has_value());
    c = db->connect(store::Access::ReadWrite);
  }
  ~Fixture() {
    c.reset();
    db.reset();
    fs::remove_all(root);
  }
  std::string media_path(const std::string& of, const std::string& bytes) const {
    const auto sha = blob::to_hex(sha256(bytes));
    return of + "/media/" + sha.substr(0, 2) + '/' + sha;
  }
  void add_media(const std::string& bytes, bool on_disk = true) {
    c->exec(kAddBlob, blob::to_hex(sha256(bytes)), bytes.size());
    if (!on_disk) return;
    const auto path = media_path(data, bytes);
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
  }

  const std::string root = temp_dir();
  std::string data = root + "/data";
  std::string target = root + "/backups";
  std::unique_ptr<store::Database> db;
  std::unique_ptr<store::Connection> c;
};

std::string text_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a backup of a database in use comes back with its media") {
  add_media("one");
  add_media(std::string(3'000'000, 'x'));
  add_media("");
  c->begin();  // somebody writes while it is copied
  c->exec(kAddBlob, std::string(64, 'a'), 5);
  const auto made = backup::create(data, target, kQuiet);
  c->rollback();
  REQUIRE_MESSAGE(made, (made ? "" : made.error().message));
  CHECK(made->server_name == "hs");
  CHECK(made->media == 3);
  CHECK(made->missing == 0);
  CHECK(backup::verify(target, "", kQuiet).has_value());

  const auto to = root + "/restored";
  REQUIRE(backup::restore(target, made->id, to, kQuiet));
  CHECK(text_of(media_path(to, "one")) == "one");
  CHECK(fs::file_size(media_path(to, std::string(3'000'000, 'x'))) == 3'000'000);
  const auto restored = store::open_sqlite({.path = to + "/haechi.db"}).value();
  CHECK(restored->connect(store::Access::ReadOnly)->one_i64(kCountBlobs) == 3);
  CHECK(backup::restore(target, "", to, kQuiet).error().is(Errc::Conflict));
}

TEST_CASE_FIXTURE(Fixture, "media that the disk has lost are counted and do not stop a backup") {
  add_media("here");
  add_media("gone", false);
  add_media("rotten");
  std::ofstream(media_path(data, "rotten"), std::ios::trunc) << "rotten?";
  const auto made = backup::create(data, target, kQuiet);
  REQUIRE(made);
  CHECK(made->media == 1);
  CHECK(made->missing == 2);
  CHECK(backup::verify(target, "", kQuiet).has_value());
}

TEST_CASE_FIXTURE(Fixture, "whatever part of a backup is damaged, it is told and nothing is restored") {
  add_media("one");
  const auto made = backup::create(data, target, kQuiet).value();
  const auto folder = target + '/' + made.id;
  for (const auto& path :
       {folder + "/haechi.db", folder + "/media.txt", folder + "/manifest.json", media_path(target, "one")}) {
    CAPTURE(path);
    const auto good = text_of(path);
    for (const auto& bad : {std::string(), good.substr(0, good.size() - 2), std::string("x") + good.substr(1)}) {
      std::ofstream(path, std::ios::trunc | std::ios::binary) << bad;
      CHECK_FALSE(backup::verify(target, "", kQuiet));
      CHECK_FALSE(backup::restore(target, "", root + "/restored", kQuiet));
      CHECK_FALSE(fs::exists(root + "/restored"));
    }
    std::ofstream(path, std::ios::trunc | std::ios::binary) << good;
  }
  CHECK(backup::verify(target, "", kQuiet).has_value());
}

TEST_CASE_FIXTURE(Fixture, "what cannot be right is refused before anything is written") {
  CHECK(backup::create(root + "/nothing", target, kQuiet).error().is(Errc::NotFound));
  CHECK(backup::create(data, data + "/backups", kQuiet).error().is(Errc::Invalid));
  CHECK(backup::create(data, data, kQuiet).error().is(Errc::Invalid));
  CHECK_FALSE(fs::exists(target));
  CHECK(backup::restore(target, "", root + "/restored", kQuiet).error().is(Errc::NotFound));
  CHECK_FALSE(fs::exists(root + "/restored"));
}

TEST_CASE("what pgBackRest says of its repositories is read") {
  constexpr std::string_view kText = R"json([{"name":"other","backup":[]},{"name":"haechi",
    "repo":[{"key":1,"cipher":"none"},{"key":2}],
    "backup":[
      {"label":"20261122-221500F","type":"full","error":false,"database":{"id":1,"repo-key":1},
       "timestamp":{"start":100,"stop":110},"info":{"size":5000,"repository":{"delta":700}}},
      {"label":"20261122-231500D","type":"diff","error":true,"database":{"id":1,"repo-key":2},"timestamp":{"stop":105}}]}])json";
  const auto info = cluster_backup::parse_info(kText, "haechi").value();
  CHECK(info.repositories == std::vector<std::int64_t>{1, 2});
  REQUIRE(info.backups.size() == 2);
  CHECK(info.backups[0].error);  // the older one
  CHECK(info.backups[1].label == "20261122-221500F");
  CHECK(info.backups[1].database_bytes == 5000);
  CHECK(info.backups[1].repository_bytes == 700);
  CHECK(cluster_backup::parse_info(kText, "none").error().is(Errc::NotFound));
  for (const auto* bad : {"", "{}", "[", "[1,null,{}]"}) CHECK_FALSE(cluster_backup::parse_info(bad, "haechi"));
}

TEST_CASE("a point in time is what PostgreSQL reads and a shell does not act on") {
  for (const auto* good : {"2026-11-22 14:30:00", "2026-11-22 14:30:00+00", "2026-11-22 14:30:00.123456-09:30"}) {
    CHECK(cluster_backup::is_point_in_time(good));
  }
  for (const auto* bad :
       {"", "yesterday", "2026-11-22", "2026-11-22T14:30:00", "2026-11-22 14:30:00; reboot", "2026-11-22 14:30:00\"",
        "2026-11-22 14:30:00$(x)", "2026-11-22 14:30:00+000000000000000000000000000000"}) {
    CAPTURE(bad);
    CHECK_FALSE(cluster_backup::is_point_in_time(bad));
  }
}
