#pragma once
// Coming and going: log-in, log-out, fresh tokens, whoami.

#include "identity/accounts.hpp"
#include "identity/uia.hpp"
#include "messenger/api/gate.hpp"
#include "messenger/options.hpp"
#include "net/router.hpp"

namespace haechi::messenger {

class LoginApi {
 public:
  LoginApi(Gate& gate, identity::Accounts& accounts, identity::Sessions& sessions, identity::Uia& uia,
           const Options& options)
      : gate_(gate), accounts_(accounts), sessions_(sessions), uia_(uia), options_(options) {}
  void routes(net::Router& router);

 private:
  using Answer = Task<Result<net::Response>>;
  Answer flows(net::Request& req);
  Answer login(net::Request& req);
  Answer get_token(net::Request& req);
  Answer refresh(net::Request& req);
  Answer logout(net::Request& req);
  Answer logout_all(net::Request& req);
  Answer whoami(net::Request& req);
  Answer sso_redirect(net::Request& req);

  Gate& gate_;
  identity::Accounts& accounts_;
  identity::Sessions& sessions_;
  identity::Uia& uia_;
  const Options& options_;
};

}  // namespace haechi::messenger
