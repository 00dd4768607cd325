#include "messenger/accounts/login_api.hpp"

#include "messenger/accounts/prove.hpp"
#include "messenger/accounts/wire.hpp"
#include "messenger/errc.hpp"

namespace haechi::messenger {
namespace {

/// Whom a password log-in names. https://spec.matrix.org/v1.19/client-server-api/#identifier-types
Result<std::string> user_of(const json::object& body) {
  const auto* identifier = get(body, "identifier");
  if (!identifier) return need_string(body, "user");  // deprecated, still sent
  if (!identifier->is_object()) return fail(Errc::BadJson, "identifier must be an object");
  const auto& o = identifier->get_object();
  TRY(const auto type, need_string(o, "type"));
  if (type == "m.id.user") return need_string(o, "user");
  // Nobody here has third-party ids, so nobody can be found by one.
  if (type == "m.id.thirdparty" || type == "m.id.phone") {
    return fail(Errc::Forbidden, "Invalid username or password");
  }
  return fail(Errc::Unknown, "Unknown identifier type");
}

}  // namespace

void LoginApi::routes(net::Router& router) {
  using net::Method;
  const std::string v3 = "/_matrix/client/v3/";
  router.add(Method::Get, v3 + "login", [this](net::Request& req) { return flows(req); });
  router.add(Method::Post, v3 + "login", [this](net::Request& req) { return login(req); });
  router.add(Method::Post, "/_matrix/client/v1/login/get_token", [this](net::Request& req) { return get_token(req); });
  router.add(Method::Post, v3 + "refresh", [this](net::Request& req) { return refresh(req); });
  router.add(Method::Post, v3 + "logout", [this](net::Request& req) { return logout(req); });
  router.add(Method::Post, v3 + "logout/all", [this](net::Request& req) { return logout_all(req); });
  router.add(Method::Get, v3 + "account/whoami", [this](net::Request& req) { return whoami(req); });
  router.add(Method::Get, v3 + "login/sso/redirect", [this](net::Request& req) { return sso_redirect(req); });
  router.on<std::string>(Method::Get, v3 + "login/sso/redirect/{idpId}",
                         [this](net::Request& req, const std::string&) { return sso_redirect(req); });
}

LoginApi::Answer LoginApi::flows(net::Request&) {
  co_return reply_text(R"({"flows":[{"type":"m.login.password"},{"type":"m.login.token","get_login_token":true}]})");
}

LoginApi::Answer LoginApi::login(net::Request& req) {
  CO_TRY(auto body, read_body(req));
  CO_TRY(const auto type, need_string(body, "type"));
  CO_TRY(auto device, device_request(body));
  if (type == "m.login.password") {
    CO_TRY(auto user, user_of(body));
    CO_TRY(auto password, need_string(body, "password"));
    CO_TRY(const auto login, co_await accounts_.login_password(std::move(user), std::move(password),
                                                               std::string(req.peer), std::move(device)));
    co_return reply(login_answer(login, options_));
  }
  if (type == "m.login.token") {
    CO_TRY(auto token, need_string(body, "token"));
    CO_TRY(const auto login, co_await accounts_.login_token(std::move(token), std::move(device)));
    co_return reply(login_answer(login, options_));
  }
  co_return fail(Errc::Unknown, "Unknown login type: " + type);
}

LoginApi::Answer LoginApi::get_token(net::Request& req) {
  CO_TRY(auto session, co_await gate_.require(req));
  CO_TRY(auto body, read_body(req, EmptyBody::IsObject));
  CO_TRY(auto proof, co_await prove_password(uia_, req, session, "POST /login/get_token", std::move(body)));
  if (!proof.passed) co_return std::move(proof.challenge);
  CO_TRY(const auto issued, co_await accounts_.issue_login_token(session->user_id));
  co_return reply({{"login_token", issued.token}, {"expires_in_ms", issued.expires_in_ms}});
}

LoginApi::Answer LoginApi::refresh(net::Request& req) {
  CO_TRY(auto body, read_body(req));
  CO_TRY(auto token, need_string(body, "refresh_token"));
  CO_TRY(const auto tokens, co_await sessions_.refresh(std::move(token)));
  json::object answer{{"access_token", tokens.access_token}};
  if (tokens.refresh_token) answer["refresh_token"] = *tokens.refresh_token;
  if (tokens.expires_in_ms) answer["expires_in_ms"] = *tokens.expires_in_ms;
  co_return reply(answer);
}

LoginApi::Answer LoginApi::logout(net::Request& req) {
  CO_TRY(auto session, co_await gate_.require_even_locked(req));
  CO_TRY_DO(co_await sessions_.logout(std::move(session)));
  co_return net::Response::empty_object();
}

LoginApi::Answer LoginApi::logout_all(net::Request& req) {
  CO_TRY(auto session, co_await gate_.require_even_locked(req));
  CO_TRY_DO(co_await sessions_.logout_all(session->user_id));
  co_return net::Response::empty_object();
}

LoginApi::Answer LoginApi::whoami(net::Request& req) {
  CO_TRY(const auto session, co_await gate_.require(req, Guests::Allowed));
  co_return reply({{"user_id", session->user_id}, {"device_id", session->device_id}, {"is_guest", session->guest}});
}

LoginApi::Answer LoginApi::sso_redirect(net::Request&) {
  co_return fail(Errc::NotFound, "Single sign-on is not set up on this server");
}

}  // namespace haechi::messenger
