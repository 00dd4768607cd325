#pragma once
// What a client asks before it knows anybody: versions, capabilities, where
// things are. Also what this server does not offer, said in the way clients expect.

#include "messenger/api/gate.hpp"
#include "messenger/options.hpp"
#include "net/router.hpp"

namespace haechi::messenger {

class InfoApi {
 public:
  InfoApi(Gate& gate, const Clock& clock, const Options& options);
  void routes(net::Router& router);

 private:
  using Answer = Task<Result<net::Response>>;
  Answer versions(net::Request& req);
  Answer capabilities(net::Request& req);
  Answer well_known_client(net::Request& req);
  Answer well_known_support(net::Request& req);
  Answer turn_server(net::Request& req);
  Answer no_protocols(net::Request& req);
  Answer nothing_listed(net::Request& req);
  Answer no_such_protocol(net::Request& req, std::string protocol);

  Gate& gate_;
  const Clock& clock_;
  const Options& options_;
  net::SharedBytes versions_, capabilities_, admin_capabilities_;  ///< each made once
};

struct TurnCredentials {
  std::string username, password;
};
/// The time-limited credentials of a TURN server's shared secret: "expiry:user" and its HMAC-SHA1.
TurnCredentials turn_credentials(std::string_view secret, std::string_view user_id, std::int64_t expires_s);

}  // namespace haechi::messenger
