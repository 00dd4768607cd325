#include "messenger/accounts/account_api.hpp"

#include "messenger/accounts/prove.hpp"
#include "messenger/accounts/wire.hpp"
#include "messenger/errc.hpp"

namespace haechi::messenger {

void AccountApi::routes(net::Router& router) {
  using net::Method;
  const std::string v3 = "/_matrix/client/v3/";
  const std::string account = v3 + "account/";
  router.add(Method::Post, account + "password", [this](net::Request& req) { return change_password(req); });
  router.add(Method::Post, account + "deactivate", [this](net::Request& req) { return deactivate(req); });

  router.add(Method::Get, account + "3pid", [this](net::Request& req) { return third_party_ids(req); });
  for (const auto* path : {"3pid", "3pid/add", "3pid/bind"}) {
    router.add(Method::Post, account + path, [this](net::Request& req) { return refuse_third_party_id(req); });
  }
  for (const auto* path : {"3pid/delete", "3pid/unbind"}) {
    router.add(Method::Post, account + path, [this](net::Request& req) { return remove_third_party_id(req); });
  }
  for (const auto* medium : {"email", "msisdn"}) {
    const std::string tail = std::string(medium) + "/requestToken";
    router.add(Method::Post, v3 + "register/" + tail, [this](net::Request& req) { return deny_validation(req); });
    router.add(Method::Post, account + "3pid/" + tail, [this](net::Request& req) { return deny_validation(req); });
    router.add(Method::Post, account + "password/" + tail, [this](net::Request& req) { return nobody_has_it(req); });
  }

  router.on<std::string>(
      Method::Post, v3 + "user/{userId}/openid/request_token",
      [this](net::Request& req, std::string user_id) { return request_openid(req, std::move(user_id)); });
  router.add(Method::Get, "/_matrix/federation/v1/openid/userinfo",
             [this](net::Request& req) { return openid_userinfo(req); });
}

AccountApi::Answer AccountApi::change_password(net::Request& req) {
  CO_TRY(auto session, co_await gate_.require(req));
  CO_TRY(auto body, read_body(req));
  CO_TRY(const auto early, optional_string(body, "new_password"));
  if (early) CO_TRY_DO(identity_.accounts().check_new_password(*early));
  CO_TRY(auto proof, co_await prove_password(identity_.uia(), req, session, "POST /account/password", std::move(body)));
  if (!proof.passed) co_return std::move(proof.challenge);
  CO_TRY(auto password, need_string(proof.passed->body, "new_password"));
  CO_TRY(const bool logout, optional_flag(proof.passed->body, "logout_devices", true));
  CO_TRY_DO(co_await identity_.accounts().change_password(
      session->user_id, std::move(password), logout ? identity::LogoutOthers::Yes : identity::LogoutOthers::No,
      session->device_id));
  co_return net::Response::empty_object();
}

AccountApi::Answer AccountApi::deactivate(net::Request& req) {
  CO_TRY(auto session, co_await gate_.require(req));
  CO_TRY(auto body, read_body(req, EmptyBody::IsObject));
  CO_TRY(auto proof,
         co_await prove_password(identity_.uia(), req, session, "POST /account/deactivate", std::move(body)));
  if (!proof.passed) co_return std::move(proof.challenge);
  CO_TRY(const bool erase, optional_flag(proof.passed->body, "erase", false));
  CO_TRY_DO(
      co_await identity_.accounts().deactivate(session->user_id, erase ? identity::Erase::Yes : identity::Erase::No));
  // Nobody has a third-party id here, so every binding there was is gone.
  co_return reply_text(R"({"id_server_unbind_result":"success"})");
}

// -- third-party ids: this server keeps none and validates none --

AccountApi::Answer AccountApi::third_party_ids(net::Request& req) {
  CO_TRY_DO(co_await gate_.require(req));
  co_return reply_text(R"({"threepids":[]})");
}

AccountApi::Answer AccountApi::refuse_third_party_id(net::Request& req) {
  CO_TRY_DO(co_await gate_.require(req));
  co_return fail(Errc::ThreepidDenied, "Third-party identifiers cannot be added on this server");
}

AccountApi::Answer AccountApi::remove_third_party_id(net::Request& req) {
  CO_TRY_DO(co_await gate_.require(req));
  co_return reply_text(R"({"id_server_unbind_result":"no-support"})");
}

AccountApi::Answer AccountApi::deny_validation(net::Request& req) {
  CO_TRY_DO(read_body(req));
  co_return fail(Errc::ThreepidDenied, "Third-party identifiers cannot be added on this server");
}

AccountApi::Answer AccountApi::nobody_has_it(net::Request& req) {
  CO_TRY_DO(read_body(req));
  co_return fail(Errc::ThreepidNotFound, "No account of this server has this third-party identifier");
}

// -- OpenID: a proof of who one is, for a third party --

AccountApi::Answer AccountApi::request_openid(net::Request& req, std::string user_id) {
  CO_TRY(const auto session, co_await gate_.require(req));
  if (user_id != session->user_id) co_return fail(Errc::Forbidden, "Tokens can be requested only for oneself");
  CO_TRY(const auto issued, co_await identity_.openid().issue(std::move(user_id)));
  co_return reply({{"access_token", issued.access_token},
                   {"token_type", "Bearer"},
                   {"matrix_server_name", options_.server_name},
                   {"expires_in", issued.expires_in_s}});
}

AccountApi::Answer AccountApi::openid_userinfo(net::Request& req) {
  auto token = req.param("access_token");
  if (!token) co_return fail(identity::Errc::MissingToken, "Missing: access_token");
  CO_TRY(const auto user_id, co_await identity_.openid().verify(*std::move(token)));
  co_return reply({{"sub", user_id}});
}

}  // namespace haechi::messenger
