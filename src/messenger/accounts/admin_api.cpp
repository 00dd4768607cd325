#include "messenger/accounts/admin_api.hpp"

#include <openssl/crypto.h>

#include "base/hash.hpp"
#include "identity/user_id.hpp"
#include "messenger/accounts/wire.hpp"
#include "messenger/api/errors.hpp"
#include "messenger/errc.hpp"
#include "messenger/event/ids.hpp"

namespace haechi::messenger {
namespace {

constexpr std::int64_t kPageDefault = 100;

json::object shown(const identity::UserRecord& user) {
  return {{"user_id", user.user_id},
          {"kind", user.kind == identity::UserKind::Guest  ? "guest"
                   : user.kind == identity::UserKind::User ? "user"
                                                           : "appservice"},
          {"admin", user.admin},
          {"deactivated", user.deactivated},
          {"locked", user.locked},
          {"suspended", user.suspended},
          {"created_ms", user.created_ms}};
}

json::object shown(const identity::RegistrationToken& token) {
  json::object o{{"token", token.token}, {"pending", token.pending}, {"completed", token.completed}};
  if (token.uses_allowed) o["uses_allowed"] = *token.uses_allowed;
  if (token.expires_ms) o["expires_ms"] = *token.expires_ms;
  return o;
}

Result<std::optional<std::int64_t>> optional_int(const json::object& o, std::string_view key) {
  const auto* v = get(o, key);
  if (!v || v->is_null()) return std::optional<std::int64_t>();
  const auto n = get_int(o, key);
  if (!n || *n < 0) return fail(Errc::InvalidParam, std::string(key) + " must be an integer, 0 or more");
  return n;
}

}  // namespace

void AdminApi::routes(net::Router& router) {
  using net::Method;
  const std::string v1 = "/_matrix/client/v1/admin/";
  router.on<std::string>(Method::Get, "/_matrix/client/v3/admin/whois/{userId}",
                         [this](net::Request& req, std::string id) { return whois(req, std::move(id)); });
  for (const auto flag : {Flag::Locked, Flag::Suspended}) {
    const auto path = v1 + (flag == Flag::Locked ? "lock" : "suspend") + "/{userId}";
    router.on<std::string>(Method::Get, path, [this, flag](net::Request& req, std::string id) {
      return get_flag_of(req, std::move(id), flag);
    });
    router.on<std::string>(Method::Put, path, [this, flag](net::Request& req, std::string id) {
      return put_flag_of(req, std::move(id), flag);
    });
  }

  const std::string users = "/_haechi/v1/admin/users";
  router.add(Method::Get, users, [this](net::Request& req) { return list(req); });
  router.add(Method::Post, users, [this](net::Request& req) { return create(req); });
  router.on<std::string>(Method::Put, users + "/{user}/password",
                         [this](net::Request& req, std::string user) { return set_password(req, std::move(user)); });
  router.on<std::string>(Method::Post, users + "/{user}/deactivate",
                         [this](net::Request& req, std::string user) { return deactivate(req, std::move(user)); });
  const std::string tokens = "/_haechi/v1/admin/registration_tokens";
  router.add(Method::Get, tokens, [this](net::Request& req) { return list_tokens(req); });
  router.add(Method::Post, tokens, [this](net::Request& req) { return create_token(req); });
  router.on<std::string>(Method::Delete, tokens + "/{token}",
                         [this](net::Request& req, std::string token) { return remove_token(req, std::move(token)); });
  router.render_errors("/_haechi/v1/admin", render_operator_error);
}

// -- Matrix's --

AdminApi::Answer AdminApi::whois(net::Request& req, std::string user_id) {
  CO_TRY(const auto session, co_await gate_.require(req));
  if (user_id != session->user_id && !session->admin)
    co_return fail(Errc::Forbidden, "Only server administrators may ask about others");
  CO_TRY_DO(co_await identity_.accounts().find(user_id));
  CO_TRY(const auto devices, co_await identity_.sessions().devices(user_id));
  json::object by_id;
  for (const auto& device : devices) {
    json::object connection;
    if (device.last_seen_ip) connection["ip"] = *device.last_seen_ip;
    connection["last_seen"] = device.last_seen_ms.value_or(device.created_ms);
    json::array connections;
    connections.push_back(std::move(connection));
    json::object one;
    one["connections"] = std::move(connections);
    json::array sessions;
    sessions.push_back(std::move(one));
    json::object entry;
    entry["sessions"] = std::move(sessions);
    by_id[device.device_id] = std::move(entry);
  }
  json::object answer{{"user_id", user_id}};
  answer["devices"] = std::move(by_id);
  co_return reply(answer);
}

namespace {
std::string_view flag_name(bool locked) { return locked ? "locked" : "suspended"; }
}  // namespace

AdminApi::Answer AdminApi::get_flag_of(net::Request& req, std::string user_id, Flag flag) {
  CO_TRY_DO(co_await gate_.require_admin(req));
  if (server_of(user_id) != options_.server_name) co_return fail(Errc::InvalidParam, "Not a user of this server");
  CO_TRY(const auto user, co_await identity_.accounts().find(std::move(user_id)));
  if (user->deactivated) co_return fail(Errc::NotFound, "There is no such user");
  const bool locked = flag == Flag::Locked;
  co_return reply({{flag_name(locked), locked ? user->locked : user->suspended}});
}

AdminApi::Answer AdminApi::put_flag_of(net::Request& req, std::string user_id, Flag flag) {
  CO_TRY(const auto session, co_await gate_.require_admin(req));
  CO_TRY(const auto body, read_body(req));
  const auto name = flag_name(flag == Flag::Locked);
  const auto* wanted = get(body, name);
  if (!wanted) co_return fail(Errc::MissingParam, "Missing: " + std::string(name));
  if (!wanted->is_bool()) co_return fail(Errc::BadJson, std::string(name) + " must be true or false");
  const bool on = wanted->get_bool();
  if (server_of(user_id) != options_.server_name) co_return fail(Errc::InvalidParam, "Not a user of this server");
  CO_TRY(const auto user, co_await identity_.accounts().find(user_id));
  if (user->deactivated) co_return fail(Errc::NotFound, "There is no such user");
  // "The requester is not a server administrator, is trying to suspend/lock their own
  // account, or the target user is another administrator."
  if (user_id == session->user_id) co_return fail(Errc::Forbidden, "Nobody may do this to their own account");
  if (user->admin) co_return fail(Errc::Forbidden, "The user is an administrator too");
  auto& accounts = identity_.accounts();
  if (flag == Flag::Locked) {
    CO_TRY_DO(co_await accounts.set_locked(std::move(user_id), on));
  } else {
    CO_TRY_DO(co_await accounts.set_suspended(std::move(user_id), on));
  }
  co_return reply({{name, on}});
}

// -- Haechi's, for the command line --

Task<Result<>> AdminApi::require_operator(net::Request& req) {
  const auto& secret = options_.accounts.node_admin_token;
  const auto header = req.header("authorization");
  constexpr std::string_view kBearer = "bearer ";
  if (!secret.empty() && header.size() > kBearer.size() && iequals_ascii(header.substr(0, kBearer.size()), kBearer)) {
    // Hashes have one length, so that the comparison takes one time.
    const auto given = sha256(trim(header.substr(kBearer.size())));
    const auto right = sha256(secret);
    if (CRYPTO_memcmp(given.data(), right.data(), right.size()) == 0) co_return Result<>();
  }
  CO_TRY_DO(co_await gate_.require_admin(req));
  co_return Result<>();
}

Result<std::string> AdminApi::local_user(std::string_view name) const {
  auto id = identity::resolve_login_name(name, options_.server_name);
  if (!id) return fail(Errc::InvalidParam, "Not a user of this server: " + std::string(name));
  return *std::move(id);
}

AdminApi::Answer AdminApi::list(net::Request& req) {
  CO_TRY_DO(co_await require_operator(req));
  const auto from = req.param_int("from").value_or(0);
  const auto limit = req.param_int("limit").value_or(kPageDefault);
  CO_TRY(const auto page, co_await identity_.accounts().list(from, limit));
  json::array users;
  for (const auto& user : page.users) users.push_back(shown(user));
  json::object answer;
  answer["users"] = std::move(users);
  if (page.next) answer["next"] = *page.next;
  co_return reply(answer);
}

AdminApi::Answer AdminApi::create(net::Request& req) {
  CO_TRY_DO(co_await require_operator(req));
  CO_TRY(const auto body, read_body(req));
  identity::RegisterRequest request;
  CO_TRY(request.localpart, need_string(body, "name"));
  CO_TRY(request.password, optional_string(body, "password"));
  CO_TRY(request.admin, optional_flag(body, "admin", false));
  request.login = identity::Login::No;
  if (request.password) CO_TRY_DO(identity_.accounts().check_new_password(*request.password));
  CO_TRY(const auto made, co_await identity_.accounts().register_user(std::move(request)));
  co_return reply({{"user_id", made.user_id}}, 201);
}

AdminApi::Answer AdminApi::set_password(net::Request& req, std::string user) {
  CO_TRY_DO(co_await require_operator(req));
  CO_TRY(auto user_id, local_user(user));
  CO_TRY(const auto body, read_body(req));
  CO_TRY(auto password, need_string(body, "password"));
  CO_TRY(const bool logout, optional_flag(body, "logout_devices", true));
  CO_TRY_DO(identity_.accounts().check_new_password(password));
  CO_TRY_DO(co_await identity_.accounts().change_password(
      std::move(user_id), std::move(password), logout ? identity::LogoutOthers::Yes : identity::LogoutOthers::No, {}));
  co_return net::Response::empty_object();
}

AdminApi::Answer AdminApi::deactivate(net::Request& req, std::string user) {
  CO_TRY_DO(co_await require_operator(req));
  CO_TRY(auto user_id, local_user(user));
  CO_TRY(const auto body, read_body(req, EmptyBody::IsObject));
  CO_TRY(const bool erase, optional_flag(body, "erase", false));
  CO_TRY_DO(
      co_await identity_.accounts().deactivate(std::move(user_id), erase ? identity::Erase::Yes : identity::Erase::No));
  co_return net::Response::empty_object();
}

AdminApi::Answer AdminApi::list_tokens(net::Request& req) {
  CO_TRY_DO(co_await require_operator(req));
  CO_TRY(const auto tokens, co_await identity_.registration_tokens().list());
  json::array listed;
  for (const auto& token : tokens) listed.push_back(shown(token));
  json::object answer;
  answer["tokens"] = std::move(listed);
  co_return reply(answer);
}

AdminApi::Answer AdminApi::create_token(net::Request& req) {
  CO_TRY_DO(co_await require_operator(req));
  CO_TRY(const auto body, read_body(req, EmptyBody::IsObject));
  identity::RegistrationTokens::Create wanted;
  CO_TRY(wanted.token, optional_string(body, "token"));
  CO_TRY(wanted.uses_allowed, optional_int(body, "uses_allowed"));
  CO_TRY(wanted.expires_ms, optional_int(body, "expires_ms"));
  CO_TRY(const auto made, co_await identity_.registration_tokens().create(std::move(wanted)));
  co_return reply(shown(made), 201);
}

AdminApi::Answer AdminApi::remove_token(net::Request& req, std::string token) {
  CO_TRY_DO(co_await require_operator(req));
  CO_TRY_DO(co_await identity_.registration_tokens().remove(std::move(token)));
  co_return net::Response::empty_object();
}

}  // namespace haechi::messenger
