#pragma once
#include "messenger/api/gate.hpp"
#include "messenger/profile/profiles.hpp"
#include "net/router.hpp"

namespace haechi::messenger {

class ProfileApi {
 public:
  ProfileApi(Gate& gate, Profiles& profiles) : gate_(gate), profiles_(profiles) {}
  void routes(net::Router& router);

 private:
  using Answer = Task<Result<net::Response>>;
  Answer whole(net::Request& req, std::string user_id);
  Answer field(net::Request& req, std::string user_id, std::string key);
  Answer put(net::Request& req, std::string user_id, std::string key);
  Answer remove(net::Request& req, std::string user_id, std::string key);

  Gate& gate_;
  Profiles& profiles_;
};

/// The user directory, and the rooms that two users share.
class UserDirectoryApi {
 public:
  UserDirectoryApi(Gate& gate, store::Readers& readers, identity::Accounts& accounts)
      : gate_(gate), readers_(readers), accounts_(accounts) {}
  void routes(net::Router& router);

 private:
  using Answer = Task<Result<net::Response>>;
  Answer search(net::Request& req);
  Answer mutual_rooms(net::Request& req);

  Gate& gate_;
  store::Readers& readers_;
  identity::Accounts& accounts_;
};

}  // namespace haechi::messenger
