#pragma once
#include "messenger/api/gate.hpp"
#include "messenger/directory/directory.hpp"
#include "messenger/rooms/members.hpp"
#include "net/router.hpp"

namespace haechi::messenger {

/// join, knock, leave, invite, kick, ban, unban, forget, joined_rooms.
class MembersApi {
 public:
  MembersApi(Gate& gate, Rooms& rooms, Directory& directory, Members& members)
      : gate_(gate), rooms_(rooms), directory_(directory), members_(members) {}
  void routes(net::Router& router);

 private:
  using Answer = Task<Result<net::Response>>;
  Answer join(net::Request& req, std::string id_or_alias);
  Answer knock(net::Request& req, std::string id_or_alias);
  Answer leave(net::Request& req, std::string room_id);
  Answer invite(net::Request& req, std::string room_id);
  using Move = Task<Result<>> (Members::*)(RoomPtr, Actor, std::string, Members::Reason);
  Answer move(net::Request& req, std::string room_id, Move how);
  Answer forget(net::Request& req, std::string room_id);
  Answer joined(net::Request& req);

  Gate& gate_;
  Rooms& rooms_;
  Directory& directory_;
  Members& members_;
};

}  // namespace haechi::messenger
