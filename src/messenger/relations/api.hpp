#pragma once
// GET /relations and GET /threads.

#include "messenger/api/gate.hpp"
#include "messenger/history/pages.hpp"
#include "net/router.hpp"

namespace haechi::messenger {

/// Loop thread only.
class RelationsApi {
 public:
  RelationsApi(Gate& gate, Rooms& rooms, Users& users, Visibility& visibility, Relations& relations,
               store::Readers& readers, const Clock& clock);
  void routes(net::Router& router);

 private:
  using Answer = Task<Result<net::Response>>;
  Answer relations(net::Request& req, std::string room_id, std::string event_id, std::string rel_type,
                   std::string event_type);
  Answer threads(net::Request& req, std::string room_id);

  Gate& gate_;
  Rooms& rooms_;
  Visibility& visibility_;
  Relations& relations_;
  store::Readers& readers_;
  RoomAccess access_;
  Pages pages_;
  const Clock& clock_;
};

}  // namespace haechi::messenger
