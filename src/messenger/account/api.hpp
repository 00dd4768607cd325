#pragma once
#include "messenger/account/account_data.hpp"
#include "messenger/account/push_rules.hpp"
#include "messenger/api/gate.hpp"
#include "net/router.hpp"

namespace haechi::messenger {

/// Account data, global and per room, and tags.
class AccountDataApi {
 public:
  AccountDataApi(Gate& gate, AccountData& data, PushRules& rules) : gate_(gate), data_(data), rules_(rules) {}
  void routes(net::Router& router);

 private:
  using Answer = Task<Result<net::Response>>;
  /// room: empty for global data.
  Answer get(net::Request& req, std::string user, std::string room, std::string type);
  Answer put(net::Request& req, std::string user, std::string room, std::string type);
  Answer remove(net::Request& req, std::string user, std::string room, std::string type);
  Answer get_tags(net::Request& req, std::string user, std::string room);
  Answer put_tag(net::Request& req, std::string user, std::string room, std::string tag);
  Answer delete_tag(net::Request& req, std::string user, std::string room, std::string tag);
  /// Errc::Forbidden for anybody but the owner; Errc::InvalidParam for a malformed room id.
  Task<Result<>> require_own(net::Request& req, std::string user, std::string room);

  Gate& gate_;
  AccountData& data_;
  PushRules& rules_;
};

}  // namespace haechi::messenger
