#pragma once
// Rooms, their writer and a journal on a real file.

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>

#include "messenger/migrations.hpp"
#include "messenger/room/visibility.hpp"
#include "messenger/room/writer.hpp"

namespace haechi::messenger::room_test {

using namespace std::chrono_literals;

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

/// A database whose commits fail while told to.
class UnsafeDatabase final : public store::Database {
 public:
  UnsafeDatabase(std::unique_ptr<store::Database> inner, const bool& broken)
      : inner_(std::move(inner)), broken_(broken) {}
  std::unique_ptr<store::Connection> connect(store::Access access) override {
    auto c = inner_->connect(access);
    if (access == store::Access::ReadOnly) return c;
    return std::make_unique<Writing>(std::move(c), broken_);
  }
  std::string_view engine() const override { return inner_->engine(); }

 private:
  class Writing final : public store::Connection {
   public:
    Writing(std::unique_ptr<store::Connection> inner, const bool& broken) : inner_(std::move(inner)), broken_(broken) {}
    void script(std::string_view text) override { inner_->script(text); }
    void begin() override { inner_->begin(); }
    void commit() override {
      if (broken_) throw store::SqlError("injected: disk full");
      inner_->commit();
    }
    void rollback() noexcept override { inner_->rollback(); }
    void savepoint() override { inner_->savepoint(); }
    void release() override { inner_->release(); }
    void rollback_to() override { inner_->rollback_to(); }

   protected:
    std::int64_t run(const store::Sql& sql, std::span<const store::Value> args, const store::RowFn* row) override {
      return inner_->execute(sql, args, row);
    }

   private:
    std::unique_ptr<store::Connection> inner_;
    const bool& broken_;
  };
  std::unique_ptr<store::Database> inner_;
  const bool& broken_;
};

/// What one run of a server has; several may follow each other on one file.
struct Node {
  explicit Node(const std::string& path, std::size_t index_segment = 131'072) {
    auto opened = store::open_sqlite({.path = path, .checkpoint_pages = 200, .cache_mib = 4});
    REQUIRE(opened);
    db = std::make_unique<UnsafeDatabase>(*std::move(opened), store_broken);
    std::vector<store::Migration> steps(journal::Journal::migrations().begin(), journal::Journal::migrations().end());
    steps.insert(steps.end(), messenger::migrations().begin(), messenger::migrations().end());
    REQUIRE(store::migrate(*db, steps));
    readers = std::make_unique<store::Readers>(loop, *db, 1, 1000);
    auto made = journal::Journal::create(loop, *db, *readers, clock, metrics, {.inline_commits = true});
    REQUIRE(made);
    journal = *std::move(made);
    rooms = std::make_unique<Rooms>(*readers, index_segment);
    REQUIRE(rooms->start(*db, *journal));
    journal->start();
    writer = std::make_unique<Writer>(*rooms, *journal, clock);
    visibility = std::make_unique<Visibility>(*rooms);
  }
  ~Node() { loop.run(journal->stop()); }

  /// A public room of @alice:hs.
  RoomPtr create(const RoomVersion& version = kRoomVersion11, std::string room_id = "!room:hs") {
    auto room = loop.run(writer->create_room(version, std::move(room_id), first_events(version), nullptr));
    REQUIRE(room);
    return *room;
  }
  static std::vector<NewEvent> first_events(const RoomVersion& version) {
    json::object create{{"room_version", std::string(version.id)}};
    if (!version.creator_is_sender) create["creator"] = "@alice:hs";
    json::object levels{{"users_default", 0}};
    if (!version.creators_are_infinite) levels["users"] = json::object{{"@alice:hs", 100}};
    std::vector<NewEvent> out;
    out.push_back({.sender = "@alice:hs", .type = "m.room.create", .state_key = "", .content = std::move(create)});
    out.push_back({.sender = "@alice:hs",
                   .type = "m.room.member",
                   .state_key = "@alice:hs",
                   .content = {{"membership", "join"}}});
    out.push_back(
        {.sender = "@alice:hs", .type = "m.room.power_levels", .state_key = "", .content = std::move(levels)});
    out.push_back(
        {.sender = "@alice:hs", .type = "m.room.join_rules", .state_key = "", .content = {{"join_rule", "public"}}});
    return out;
  }

  Result<EventPtr> send(const RoomPtr& room, NewEvent event) { return loop.run(writer->send(room, std::move(event))); }
  EventPtr say(const RoomPtr& room, std::string body, std::string sender = "@alice:hs") {
    auto e = send(room, {.sender = std::move(sender), .type = "m.room.message", .content = {{"body", body}}});
    REQUIRE(e);
    return *e;
  }
  EventPtr set(const RoomPtr& room, std::string type, json::object content, std::string key = "",
               std::string sender = "@alice:hs") {
    auto e = send(room, {.sender = std::move(sender),
                         .type = std::move(type),
                         .state_key = std::move(key),
                         .content = std::move(content)});
    REQUIRE(e);
    return *e;
  }
  EventPtr member(const RoomPtr& room, std::string user, std::string membership, std::string sender = {}) {
    if (sender.empty()) sender = user;
    return set(room, "m.room.member", {{"membership", membership}}, std::move(user), std::move(sender));
  }
  EventPtr redact(const RoomPtr& room, EventPtr target, std::string sender = "@alice:hs") {
    auto e = send(room, {.sender = std::move(sender),
                         .type = "m.room.redaction",
                         .content = {{"reason", "spam"}},
                         .redact_target = std::move(target)});
    REQUIRE(e);
    return *e;
  }

  bool store_broken = false;
  ManualClock clock;
  ManualLoop loop{clock};
  Metrics metrics;
  std::unique_ptr<store::Database> db;
  std::unique_ptr<store::Readers> readers;
  std::unique_ptr<journal::Journal> journal;
  std::unique_ptr<Rooms> rooms;
  std::unique_ptr<Writer> writer;
  std::unique_ptr<Visibility> visibility;
};

}  // namespace haechi::messenger::room_test
