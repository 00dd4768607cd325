#pragma once
#include "messenger/api/gate.hpp"
#include "messenger/directory/directory.hpp"
#include "messenger/rooms/spaces.hpp"
#include "net/router.hpp"

namespace haechi::messenger {

/// GET room_summary and hierarchy.
class SpacesApi {
 public:
  SpacesApi(Gate& gate, Directory& directory, Spaces& spaces) : gate_(gate), directory_(directory), spaces_(spaces) {}
  void routes(net::Router& router);

 private:
  using Answer = Task<Result<net::Response>>;
  Answer summary(net::Request& req, std::string id_or_alias);
  Answer hierarchy(net::Request& req, std::string room_id);

  Gate& gate_;
  Directory& directory_;
  Spaces& spaces_;
};

}  // namespace haechi::messenger
