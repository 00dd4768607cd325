#pragma once
#include "messenger/api/gate.hpp"
#include "messenger/directory/directory.hpp"
#include "net/router.hpp"

namespace haechi::messenger {

class DirectoryApi {
 public:
  DirectoryApi(Gate& gate, Rooms& rooms, Directory& directory) : gate_(gate), rooms_(rooms), directory_(directory) {}
  void routes(net::Router& router);

 private:
  using Answer = Task<Result<net::Response>>;
  Answer get_alias(net::Request& req, std::string alias);
  Answer put_alias(net::Request& req, std::string alias);
  Answer delete_alias(net::Request& req, std::string alias);
  Answer room_aliases(net::Request& req, std::string room_id);
  Answer get_visibility(net::Request& req, std::string room_id);
  Answer put_visibility(net::Request& req, std::string room_id);
  Answer get_public_rooms(net::Request& req);
  Answer post_public_rooms(net::Request& req);
  Answer appservice_list(net::Request& req, std::string network, std::string room_id);
  Result<> refuse_other_server(net::Request& req) const;

  Gate& gate_;
  Rooms& rooms_;
  Directory& directory_;
};

}  // namespace haechi::messenger
