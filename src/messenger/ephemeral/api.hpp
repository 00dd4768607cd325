#pragma once
#include "messenger/account/account_data.hpp"
#include "messenger/api/gate.hpp"
#include "messenger/ephemeral/presence.hpp"
#include "messenger/ephemeral/receipts.hpp"
#include "messenger/ephemeral/typing.hpp"
#include "net/router.hpp"

namespace haechi::messenger {

/// Receipts, read markers, typing and presence.
class EphemeralApi {
 public:
  EphemeralApi(Gate& gate, Rooms& rooms, Users& users, AccountData& account_data, Receipts& receipts, Typing& typing,
               Presence& presence)
      : gate_(gate),
        rooms_(rooms),
        users_(users),
        account_data_(account_data),
        receipts_(receipts),
        typing_(typing),
        presence_(presence) {}
  void routes(net::Router& router);

 private:
  using Answer = Task<Result<net::Response>>;
  Answer post_receipt(net::Request& req, std::string room_id, std::string type, std::string event_id);
  Answer post_read_markers(net::Request& req, std::string room_id);
  Answer put_typing(net::Request& req, std::string room_id, std::string user_id);
  Answer get_presence(net::Request& req, std::string user_id);
  Answer put_presence(net::Request& req, std::string user_id);
  /// Errc::Forbidden unless joined, whether or not the room exists.
  Task<Result<RoomPtr>> joined_room(std::string user, std::string room_id);
  Task<Result<>> move_fully_read(std::string user, RoomPtr room, EventPtr event);

  Gate& gate_;
  Rooms& rooms_;
  Users& users_;
  AccountData& account_data_;
  Receipts& receipts_;
  Typing& typing_;
  Presence& presence_;
};

}  // namespace haechi::messenger
