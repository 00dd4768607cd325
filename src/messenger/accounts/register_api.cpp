#include "messenger/accounts/register_api.hpp"

#include "messenger/accounts/prove.hpp"
#include "messenger/accounts/wire.hpp"
#include "messenger/api/errors.hpp"
#include "messenger/errc.hpp"

namespace haechi::messenger {

void RegisterApi::routes(net::Router& router) {
  using net::Method;
  const std::string v3 = "/_matrix/client/v3/";
  const std::string validity = "register/m.login.registration_token/validity";
  router.add(Method::Post, v3 + "register", [this](net::Request& req) { return register_account(req); });
  router.add(Method::Get, v3 + "register/available", [this](net::Request& req) { return available(req); });
  for (const auto* prefix : {"/_matrix/client/v1/", "/_matrix/client/v3/"}) {
    router.add(Method::Get, prefix + validity, [this](net::Request& req) { return token_validity(req); });
  }
  router.add(Method::Get, "/_synapse/admin/v1/register", [this](net::Request& req) { return nonce(req); });
  router.add(Method::Post, "/_synapse/admin/v1/register",
             [this](net::Request& req) { return register_with_secret(req); });
  router.render_errors("/_synapse", render_matrix_error);
}

std::vector<identity::UiaFlow> RegisterApi::flows() const {
  const bool open = options_.accounts.registration == RegistrationMode::Open;
  std::vector<identity::UiaFlow> flows(1);
  flows[0].stages.emplace_back(open ? identity::kStageDummy : identity::kStageRegistrationToken);
  return flows;
}

RegisterApi::Answer RegisterApi::register_account(net::Request& req) {
  const auto kind = req.param("kind").value_or("user");
  CO_TRY(auto body, read_body(req, EmptyBody::IsObject));
  if (kind == "guest") co_return co_await register_guest(req, std::move(body));
  if (kind != "user") co_return fail(Errc::InvalidParam, "kind must be user or guest");
  const auto mode = options_.accounts.registration;
  if (mode != RegistrationMode::Open && mode != RegistrationMode::Token) {
    co_return fail(Errc::Forbidden, "Registration is closed on this server");
  }
  const std::string address(req.peer);
  CO_TRY_DO(gate_.registrations.check(address));

  // A client should hear at once that the name or the password will not do, and
  // not after it took its user through every stage.
  auto& accounts = identity_.accounts();
  CO_TRY(const auto wanted, optional_string(body, "username"));
  if (wanted) CO_TRY_DO(co_await accounts.check_available(*wanted));
  CO_TRY(const auto early_password, optional_string(body, "password"));
  if (early_password) CO_TRY_DO(accounts.check_new_password(*early_password));

  identity::UiaContext context{
      .operation = "POST /register", .user_id = {}, .address = address, .body = std::move(body)};
  CO_TRY(auto proof, co_await prove(identity_.uia(), flows(), std::move(context)));
  if (!proof.passed) co_return std::move(proof.challenge);

  const auto& agreed = proof.passed->body;
  identity::RegisterRequest request;
  CO_TRY(request.localpart, optional_string(agreed, "username"));
  CO_TRY(request.password, need_string(agreed, "password"));
  CO_TRY(const bool inhibit, optional_flag(agreed, "inhibit_login", false));
  CO_TRY(request.device, device_request(agreed));
  request.login = inhibit ? identity::Login::No : identity::Login::Yes;
  request.registration_token = proof.passed->registration_token;
  CO_TRY_DO(gate_.registrations.take(address));
  CO_TRY(const auto made, co_await accounts.register_user(std::move(request)));
  if (made.login) co_return reply(login_answer(*made.login, options_));
  co_return reply({{"user_id", made.user_id}, {"home_server", options_.server_name}});
}

RegisterApi::Answer RegisterApi::register_guest(net::Request& req, json::object body) {
  if (!options_.accounts.guest_access)
    co_return fail(Errc::GuestAccessForbidden, "Guests are not let in on this server");
  CO_TRY_DO(gate_.registrations.take(req.peer));
  identity::RegisterRequest request;
  request.kind = identity::UserKind::Guest;
  CO_TRY(request.device.display_name, optional_string(body, "initial_device_display_name"));
  CO_TRY(const auto made, co_await identity_.accounts().register_user(std::move(request)));
  co_return reply(login_answer(*made.login, options_));
}

RegisterApi::Answer RegisterApi::available(net::Request& req) {
  CO_TRY_DO(gate_.registrations.check(req.peer));
  auto wanted = req.param("username");
  if (!wanted) co_return fail(Errc::MissingParam, "Missing: username");
  CO_TRY_DO(co_await identity_.accounts().check_available(*std::move(wanted)));
  co_return reply_text(R"({"available":true})");
}

RegisterApi::Answer RegisterApi::token_validity(net::Request& req) {
  CO_TRY_DO(gate_.registrations.check(req.peer));
  if (options_.accounts.registration != RegistrationMode::Token) {
    co_return fail(Errc::Forbidden, "This server does not register by token");
  }
  auto token = req.param("token");
  if (!token) co_return fail(Errc::MissingParam, "Missing: token");
  CO_TRY(const bool valid, co_await identity_.registration_tokens().valid(*std::move(token)));
  co_return reply({{"valid", valid}});
}

// -- Synapse's way for scripts that share a secret with the server --

RegisterApi::Answer RegisterApi::nonce(net::Request&) {
  if (options_.accounts.shared_secret.empty())
    co_return fail(Errc::Unknown, "Shared secret registration is not enabled");
  CO_TRY(const auto nonce, co_await identity_.issue_nonce());
  co_return reply({{"nonce", nonce}});
}

RegisterApi::Answer RegisterApi::register_with_secret(net::Request& req) {
  const auto& secret = options_.accounts.shared_secret;
  if (secret.empty()) co_return fail(Errc::Unknown, "Shared secret registration is not enabled");
  CO_TRY(const auto body, read_body(req));
  CO_TRY(const auto nonce, need_string(body, "nonce"));
  CO_TRY(const auto username, need_string(body, "username"));
  CO_TRY(const auto password, need_string(body, "password"));
  CO_TRY(const auto mac, need_string(body, "mac"));
  CO_TRY(const bool admin, optional_flag(body, "admin", false));
  CO_TRY(const auto user_type, optional_string(body, "user_type"));
  CO_TRY(const bool inhibit, optional_flag(body, "inhibit_login", false));
  // A zero byte would shift what the code covers from one field into the next.
  if (username.contains('\0') || password.contains('\0'))
    co_return fail(Errc::InvalidParam, "Invalid username or password");
  CO_TRY(const bool good, co_await identity_.spend_nonce(nonce));
  if (!good) co_return fail(Errc::Unknown, "Unrecognised nonce");
  const auto expected = identity::shared_secret_mac(secret, nonce, username, password, admin, user_type.value_or(""));
  if (!identity::shared_secret_mac_matches(mac, expected)) co_return fail(Errc::Forbidden, "HMAC incorrect");

  identity::RegisterRequest request;
  request.localpart = username;
  request.password = password;
  request.admin = admin;
  request.login = inhibit ? identity::Login::No : identity::Login::Yes;
  CO_TRY(request.device, device_request(body));
  CO_TRY(const auto made, co_await identity_.accounts().register_user(std::move(request)));
  if (made.login) co_return reply(login_answer(*made.login, options_));
  co_return reply({{"user_id", made.user_id}, {"home_server", options_.server_name}});
}

}  // namespace haechi::messenger
