#pragma once
// New accounts, by whichever way the operator opened.

#include "identity/identity.hpp"
#include "messenger/api/gate.hpp"
#include "messenger/options.hpp"
#include "net/router.hpp"

namespace haechi::messenger {

class RegisterApi {
 public:
  RegisterApi(Gate& gate, identity::Identity& identity, const Options& options)
      : gate_(gate), identity_(identity), options_(options) {}
  void routes(net::Router& router);

 private:
  using Answer = Task<Result<net::Response>>;
  Answer register_account(net::Request& req);
  Answer register_guest(net::Request& req, json::object body);
  Answer available(net::Request& req);
  Answer token_validity(net::Request& req);
  Answer nonce(net::Request& req);
  Answer register_with_secret(net::Request& req);
  std::vector<identity::UiaFlow> flows() const;

  Gate& gate_;
  identity::Identity& identity_;
  const Options& options_;
};

}  // namespace haechi::messenger
