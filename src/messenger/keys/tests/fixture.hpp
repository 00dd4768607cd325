#pragma once
// A node with rooms, users and keys: a real database in a folder that goes away,
// commits on the loop.

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <stdexcept>

#include "base/log.hpp"
#include "identity/identity.hpp"
#include "messenger/keys/cross_signing.hpp"
#include "messenger/keys/device_keys.hpp"
#include "messenger/keys/key_backup.hpp"
#include "messenger/keys/to_device.hpp"
#include "messenger/migrations.hpp"
#include "messenger/room/writer.hpp"

namespace haechi::messenger::test {

class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "haechi-keys-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string file(std::string_view name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

template <class T>
T must(Result<T> r) {
  if (!r) throw std::runtime_error("unexpected error: " + r.error().message);
  if constexpr (!std::is_void_v<T>) return *std::move(r);
}

inline json::object obj(std::string_view text) { return must(parse_json_object(text)); }

inline const std::string kAlice = "@alice:hs";
inline const std::string kBob = "@bob:hs";
inline const std::string kCarol = "@carol:hs";

struct Node {
  Node() : Node(std::make_shared<TempDir>()) {}
  /// Another run on the same files.
  explicit Node(std::shared_ptr<TempDir> folder) : dir(std::move(folder)) {
    log::set_level(log::Level::Error);
    db = must(store::open_sqlite({.path = dir->file("db"), .cache_mib = 4}));
    std::vector<store::Migration> steps;
    for (const auto& m : journal::Journal::migrations()) steps.push_back(m);
    for (const auto& m : identity::Identity::migrations()) steps.push_back(m);
    for (const auto& m : migrations()) steps.push_back(m);
    must(store::migrate(*db, steps));
    readers = std::make_unique<store::Readers>(loop, *db, 1, 1000);
    journal = must(journal::Journal::create(loop, *db, *readers, clock, metrics, {.inline_commits = true}));
    rooms = std::make_unique<Rooms>(*readers);
    users = std::make_unique<Users>(loop, *readers, *rooms);
    writer = std::make_unique<Writer>(*rooms, *journal, clock);
    device_keys = std::make_unique<DeviceKeys>(*readers, *journal, *rooms, *users);
    to_device = std::make_unique<ToDevice>(*readers, *journal);
    cross_signing = std::make_unique<CrossSigning>(*journal);
    backup = std::make_unique<KeyBackup>(*readers, *journal);
    must(rooms->start(*db, *journal));
    users->start(*journal);
    device_keys->start();
    journal->start();
  }
  ~Node() {
    loop.run(to_device->stop());
    loop.run(journal->stop());
  }

  template <class T>
  T run(Task<Result<T>> task) {
    return must(loop.run(std::move(task)));
  }
  template <class T>
  Error error_of(Task<Result<T>> task) {
    auto r = loop.run(std::move(task));
    if (r) throw std::runtime_error("this should have failed");
    return std::move(r.error());
  }
  template <class F>
  void write(F f) {
    run(journal->submit([f](journal::Tx& tx) -> Result<> {
      f(tx);
      return {};
    }));
  }

  void add_device(const std::string& user, const std::string& device) {
    static constexpr store::Sql kInsert{
        "INSERT INTO devices (user_id, device_id, display_name, created_ms) VALUES ($1, $2, NULL, 0)"};
    write([&](journal::Tx& tx) {
      tx.sql().exec(kInsert, user, device);
      DeviceKeys::hooks().device_added_tx(tx, user, device);
    });
  }
  void remove_device(const std::string& user, const std::string& device) {
    static constexpr store::Sql kDelete{"DELETE FROM devices WHERE user_id = $1 AND device_id = $2"};
    write([&](journal::Tx& tx) {
      tx.sql().exec(kDelete, user, device);
      DeviceKeys::hooks().device_removed_tx(tx, user, device);
    });
  }
  UserPtr user(const std::string& id) { return run(users->get(id)); }

  static NewEvent state(const std::string& sender, std::string type, std::string key, json::object content) {
    return {.sender = sender,
            .type = std::move(type),
            .state_key = std::move(key),
            .content = std::move(content),
            .device = {},
            .txn_id = {},
            .redact_target = nullptr,
            .ts = std::nullopt};
  }
  /// A public room that its creator has joined.
  RoomPtr make_room(const std::string& creator) {
    std::vector<NewEvent> events;
    events.push_back(state(creator, "m.room.create", "", {{"room_version", "11"}}));
    events.push_back(state(creator, "m.room.member", creator, {{"membership", "join"}}));
    events.push_back(state(creator, "m.room.power_levels", "", {{"users", json::object{{creator, 100}}}}));
    events.push_back(state(creator, "m.room.join_rules", "", {{"join_rule", "public"}}));
    return run(
        writer->create_room(kRoomVersion11, "!r" + std::to_string(++rooms_made) + ":hs", std::move(events), nullptr));
  }
  void member(const RoomPtr& room, const std::string& who, std::string_view membership) {
    run(writer->send(room, state(who, "m.room.member", who, {{"membership", membership}})));
  }
  void set_state(const RoomPtr& room, const std::string& who, std::string type, json::object content) {
    run(writer->send(room, state(who, std::move(type), "", std::move(content))));
  }
  Position now() const { return journal->position(); }

  std::shared_ptr<TempDir> dir;
  int rooms_made = 0;
  ManualClock clock;
  ManualLoop loop{clock};
  Metrics metrics;
  std::unique_ptr<store::Database> db;
  std::unique_ptr<store::Readers> readers;
  std::unique_ptr<journal::Journal> journal;
  std::unique_ptr<Rooms> rooms;
  std::unique_ptr<Users> users;
  std::unique_ptr<Writer> writer;
  std::unique_ptr<DeviceKeys> device_keys;
  std::unique_ptr<ToDevice> to_device;
  std::unique_ptr<CrossSigning> cross_signing;
  std::unique_ptr<KeyBackup> backup;
};

}  // namespace haechi::messenger::test
