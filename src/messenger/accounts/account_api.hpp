#pragma once
// What users do with their own account: password, end of the account, third-party
// ids (none here), proof for widgets (OpenID), devices.

#include "identity/identity.hpp"
#include "messenger/api/gate.hpp"
#include "messenger/options.hpp"
#include "net/router.hpp"

namespace haechi::messenger {

class AccountApi {
 public:
  AccountApi(Gate& gate, identity::Identity& identity, const Options& options)
      : gate_(gate), identity_(identity), options_(options) {}
  void routes(net::Router& router);

 private:
  using Answer = Task<Result<net::Response>>;
  Answer change_password(net::Request& req);
  Answer deactivate(net::Request& req);
  Answer third_party_ids(net::Request& req);
  Answer refuse_third_party_id(net::Request& req);
  Answer remove_third_party_id(net::Request& req);
  Answer deny_validation(net::Request& req);
  Answer nobody_has_it(net::Request& req);
  Answer request_openid(net::Request& req, std::string user_id);
  Answer openid_userinfo(net::Request& req);

  Gate& gate_;
  identity::Identity& identity_;
  const Options& options_;
};

class DevicesApi {
 public:
  DevicesApi(Gate& gate, identity::Sessions& sessions, identity::Uia& uia)
      : gate_(gate), sessions_(sessions), uia_(uia) {}
  void routes(net::Router& router);

 private:
  using Answer = Task<Result<net::Response>>;
  Answer list(net::Request& req);
  Answer one(net::Request& req, std::string device_id);
  Answer rename(net::Request& req, std::string device_id);
  Answer remove(net::Request& req, std::string device_id);
  Answer remove_many(net::Request& req);

  Gate& gate_;
  identity::Sessions& sessions_;
  identity::Uia& uia_;
};

}  // namespace haechi::messenger
