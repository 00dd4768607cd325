#pragma once
#include "messenger/sliding/sliding.hpp"
#include "net/router.hpp"

namespace haechi::messenger {

class SlidingSyncApi {
 public:
  SlidingSyncApi(Gate& gate, SlidingSync& sync) : gate_(gate), sync_(sync) {}
  void routes(net::Router& router);

 private:
  Task<Result<net::Response>> post_sync(net::Request& req);
  Gate& gate_;
  SlidingSync& sync_;
};

}  // namespace haechi::messenger
