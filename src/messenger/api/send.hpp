#pragma once
#include "messenger/api/gate.hpp"
#include "messenger/relations/ports.hpp"
#include "messenger/room/writer.hpp"
#include "messenger/rooms/members.hpp"
#include "net/router.hpp"

namespace haechi::messenger {

/// Aliases that a canonical_alias event may name; the directory knows.
class AliasChecker {
 public:
  virtual ~AliasChecker() = default;
  /// Errc::BadAlias when one does not point to this room, Errc::InvalidParam for malformed ones.
  virtual Task<Result<>> check_canonical(RoomPtr room, json::object content) = 0;
};

/// PUT send, state and redact: how an event comes from a client into a room.
class SendApi {
 public:
  SendApi(Gate& gate, Rooms& rooms, Writer& writer, Members& members, RelationGuard& relations, AliasChecker& aliases,
          journal::Journal& journal)
      : gate_(gate),
        rooms_(rooms),
        writer_(writer),
        members_(members),
        relations_(relations),
        aliases_(aliases),
        journal_(journal) {}
  void routes(net::Router& router);

 private:
  using Answer = Task<Result<net::Response>>;
  Answer send(net::Request& req, std::string room_id, std::string type, std::string txn_id);
  Answer redact(net::Request& req, std::string room_id, std::string event_id, std::string txn_id);
  Answer put_state(net::Request& req, std::string room_id, std::string type, std::string key);
  Task<Result<>> check_member(RoomPtr room, SessionPtr session, std::string target, json::object& content);

  Gate& gate_;
  Rooms& rooms_;
  Writer& writer_;
  Members& members_;
  RelationGuard& relations_;
  AliasChecker& aliases_;
  journal::Journal& journal_;
};

}  // namespace haechi::messenger
