#pragma once
#include "messenger/account/push_rules.hpp"
#include "messenger/api/gate.hpp"
#include "messenger/push/notifications.hpp"
#include "messenger/push/pushers.hpp"
#include "net/router.hpp"

namespace haechi::messenger {

/// Push rules, pushers and the list of notifications.
class PushApi {
 public:
  PushApi(Gate& gate, const Clock& clock, PushRules& rules, Pushers& pushers, Users& users,
          Notifications& notifications)
      : gate_(gate), clock_(clock), rules_(rules), pushers_(pushers), users_(users), notifications_(notifications) {}
  void routes(net::Router& router);

 private:
  using Answer = Task<Result<net::Response>>;
  Answer get_all(net::Request& req);
  Answer get_global(net::Request& req);
  Answer get_rule(net::Request& req, std::string kind, std::string id);
  Answer put_rule(net::Request& req, std::string kind, std::string id);
  Answer delete_rule(net::Request& req, std::string kind, std::string id);
  Answer get_part(net::Request& req, std::string kind, std::string id, std::string part);
  Answer put_enabled(net::Request& req, std::string kind, std::string id);
  Answer put_actions(net::Request& req, std::string kind, std::string id);
  Answer get_pushers(net::Request& req);
  Answer set_pusher(net::Request& req);
  Answer get_notifications(net::Request& req);

  Gate& gate_;
  const Clock& clock_;
  PushRules& rules_;
  Pushers& pushers_;
  Users& users_;
  Notifications& notifications_;
};

}  // namespace haechi::messenger
