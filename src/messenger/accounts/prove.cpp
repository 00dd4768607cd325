#include "messenger/accounts/prove.hpp"

namespace haechi::messenger {

Task<Result<Proof>> prove(identity::Uia& uia, std::vector<identity::UiaFlow> flows, identity::UiaContext context) {
  std::optional<json::value> auth;
  if (const auto* given = get(context.body, "auth")) {
    auth = *given;
    context.body.erase("auth");
  }
  CO_TRY(auto outcome, co_await uia.check(std::move(flows), auth ? &*auth : nullptr, std::move(context)));
  Proof proof;
  if (auto* done = std::get_if<identity::UiaCompleted>(&outcome)) {
    proof.passed = std::move(*done);
  } else {
    proof.challenge = reply(std::get<identity::UiaChallenge>(outcome).body, 401);
  }
  co_return proof;
}

Task<Result<Proof>> prove_password(identity::Uia& uia, const net::Request& req, SessionPtr session,
                                   std::string operation, json::object body) {
  std::vector<identity::UiaFlow> flows(1);
  flows[0].stages.emplace_back(identity::kStagePassword);
  identity::UiaContext context{.operation = std::move(operation),
                               .user_id = session->user_id,
                               .address = std::string(req.peer),
                               .body = std::move(body)};
  return prove(uia, std::move(flows), std::move(context));
}

}  // namespace haechi::messenger
