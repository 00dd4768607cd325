#pragma once
#include "identity/accounts.hpp"
#include "journal/journal.hpp"
#include "messenger/api/gate.hpp"
#include "messenger/room/visibility.hpp"
#include "net/router.hpp"

namespace haechi::messenger {

/// POST report for rooms, events and users: rows for the administrators to read.
class ReportsApi {
 public:
  ReportsApi(Gate& gate, Rooms& rooms, Visibility& visibility, identity::Accounts& accounts, journal::Journal& journal)
      : gate_(gate), rooms_(rooms), visibility_(visibility), accounts_(accounts), journal_(journal) {}
  void routes(net::Router& router);

 private:
  using Answer = Task<Result<net::Response>>;
  struct Report;
  Answer room(net::Request& req, std::string room_id);
  Answer event(net::Request& req, std::string room_id, std::string event_id);
  Answer user(net::Request& req, std::string user_id);
  Answer keep(Report report);

  Gate& gate_;
  Rooms& rooms_;
  Visibility& visibility_;
  identity::Accounts& accounts_;
  journal::Journal& journal_;
};

}  // namespace haechi::messenger
