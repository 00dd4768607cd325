#pragma once
// What administrators do with others' accounts: Matrix's admin endpoints, and
// Haechi's own for the command line.

#include "identity/identity.hpp"
#include "messenger/api/gate.hpp"
#include "messenger/options.hpp"
#include "net/router.hpp"

namespace haechi::messenger {

class AdminApi {
 public:
  AdminApi(Gate& gate, identity::Identity& identity, const Options& options)
      : gate_(gate), identity_(identity), options_(options) {}
  void routes(net::Router& router);

 private:
  using Answer = Task<Result<net::Response>>;
  enum class Flag { Locked, Suspended };
  Answer whois(net::Request& req, std::string user_id);
  Answer get_flag_of(net::Request& req, std::string user_id, Flag flag);
  Answer put_flag_of(net::Request& req, std::string user_id, Flag flag);
  Answer list(net::Request& req);
  Answer create(net::Request& req);
  Answer set_password(net::Request& req, std::string user);
  Answer deactivate(net::Request& req, std::string user);
  Answer list_tokens(net::Request& req);
  Answer create_token(net::Request& req);
  Answer remove_token(net::Request& req, std::string token);
  /// An administrator's session, or the token that this node wrote into its data folder.
  Task<Result<>> require_operator(net::Request& req);
  Result<std::string> local_user(std::string_view name) const;

  Gate& gate_;
  identity::Identity& identity_;
  const Options& options_;
};

}  // namespace haechi::messenger
