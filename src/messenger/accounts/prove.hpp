#pragma once
#include <optional>
#include <string>

#include "identity/uia.hpp"
#include "messenger/api/gate.hpp"
#include "net/http.hpp"

namespace haechi::messenger {

/// How a user-interactive authentication went: passed, or what to answer.
struct Proof {
  std::optional<identity::UiaCompleted> passed;
  net::Response challenge;  ///< 401 with flows, params and session, when not passed
};

/// One step of user-interactive authentication. `body` is the request's, `auth`
/// included; `operation` must tell apart whatever one proof must not open together.
Task<Result<Proof>> prove(identity::Uia& uia, std::vector<identity::UiaFlow> flows, identity::UiaContext context);

/// The same for somebody logged in, who gives the password again.
Task<Result<Proof>> prove_password(identity::Uia& uia, const net::Request& req, SessionPtr session,
                                   std::string operation, json::object body);

}  // namespace haechi::messenger
