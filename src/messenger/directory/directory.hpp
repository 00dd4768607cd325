#pragma once
// Names of rooms, and which rooms are shown to everybody.

#include <unordered_map>
#include <unordered_set>

#include "journal/journal.hpp"
#include "messenger/api/send.hpp"
#include "messenger/directory/public_rooms.hpp"
#include "messenger/room/writer.hpp"
#include "store/store.hpp"

namespace haechi::messenger {

/// Loop thread only. Lifecycle: construct, start() before the journal starts, use.
class Directory final : public AliasChecker, public RoomObserver {
 public:
  Directory(Rooms& rooms, Writer& writer, store::Readers& readers, journal::Journal& journal, const Clock& clock,
            std::string server_name)
      : rooms_(rooms),
        writer_(writer),
        readers_(readers),
        journal_(journal),
        clock_(clock),
        server_name_(std::move(server_name)) {}

  /// Reads which rooms are published, follows the feed and the rooms.
  Result<> start(store::Database& db);
  const std::string& server_name() const { return server_name_; }

  // -- aliases ----------------------------------------------------------------
  /// Errc::InvalidParam for what is no alias of this server.
  Result<> check_local(std::string_view alias) const;
  /// The room id that an alias points to, or the room id itself. Errc::NotFound, InvalidParam.
  Task<Result<std::string>> resolve(std::string id_or_alias);
  /// Nothing when the alias is free.
  Task<Result<std::optional<std::string>>> lookup(std::string alias);
  Task<Result<>> put_alias(std::string alias, RoomPtr room, std::string creator);
  struct Remover {
    std::string user;
    std::string device;
    bool admin = false;
  };
  /// Also takes the alias out of m.room.canonical_alias, where the remover may.
  Task<Result<>> remove_alias(std::string alias, Remover who);
  Task<Result<std::vector<std::string>>> aliases_of(std::int64_t room_num);
  Task<Result<>> check_canonical(RoomPtr room, json::object content) override;

  // -- rows inside another command: a room made or moved with its names --------
  /// Errc::RoomInUse inside the command's transaction.
  static Result<> add_alias(journal::Tx& tx, std::string_view alias, std::int64_t room_num, std::string_view room_id,
                            std::string_view creator, WallMs now);
  static void move_aliases(journal::Tx& tx, std::int64_t from, std::int64_t to, std::string_view to_id);
  static void set_published(journal::Tx& tx, std::int64_t room_num, std::string_view room_id, bool published);

  // -- the public list ----------------------------------------------------------
  bool published(std::int64_t room_num) const { return published_.contains(room_num); }
  Task<Result<>> publish(RoomPtr room, bool published);
  Task<Result<json::object>> public_rooms(PublicRoomsQuery query);

  void on_event(Room& room, const EventPtr& event) override;
  void on_redacted(Room& room, const EventPtr& redacted) override;
  void on_unseen(const Unseen& unseen) override { shown_.erase(unseen.room_num); }

 private:
  void follow(std::span<const journal::Entry> entries);

  Rooms& rooms_;
  Writer& writer_;
  store::Readers& readers_;
  journal::Journal& journal_;
  const Clock& clock_;
  std::string server_name_;
  std::unordered_set<std::int64_t> published_;
  /// Filled when somebody asks; dropped when the room's state changes.
  std::unordered_map<std::int64_t, PublicRoom> shown_;
};

}  // namespace haechi::messenger
