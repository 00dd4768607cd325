#pragma once
#include "messenger/api/gate.hpp"
#include "messenger/rooms/creator.hpp"
#include "messenger/rooms/upgrades.hpp"
#include "net/router.hpp"

namespace haechi::messenger {

/// POST createRoom and upgrade.
class RoomsApi {
 public:
  RoomsApi(Gate& gate, RoomCreator& creator, Upgrades& upgrades)
      : gate_(gate), creator_(creator), upgrades_(upgrades) {}
  void routes(net::Router& router);

 private:
  using Answer = Task<Result<net::Response>>;
  Answer create(net::Request& req);
  Answer upgrade(net::Request& req, std::string room_id);

  Gate& gate_;
  RoomCreator& creator_;
  Upgrades& upgrades_;
};

}  // namespace haechi::messenger
