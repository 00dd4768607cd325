#pragma once
#include "messenger/sync/filters.hpp"
#include "messenger/sync/sync.hpp"
#include "net/router.hpp"

namespace haechi::messenger {

/// GET /sync and the filters it takes.
class SyncApi {
 public:
  SyncApi(Gate& gate, Sync& sync, Filters& filters) : gate_(gate), sync_(sync), filters_(filters) {}
  void routes(net::Router& router);

 private:
  using Answer = Task<Result<net::Response>>;
  Answer get_sync(net::Request& req);
  /// Not inlined, so that its frame does not become part of the one that waits.
  [[gnu::noinline]] Task<Result<SyncRequest>> read_request(net::Request& req);
  Answer post_filter(net::Request& req, std::string user_id);
  Answer get_filter(net::Request& req, std::string user_id, std::string filter_id);
  Gate& gate_;
  Sync& sync_;
  Filters& filters_;
};

}  // namespace haechi::messenger
