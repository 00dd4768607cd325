#include "messenger/keys/api.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "messenger/errc.hpp"
#include "messenger/sync/token.hpp"

namespace haechi::messenger {
namespace {

constexpr std::string_view kUiaOperation = "POST /keys/device_signing/upload";

bool names_keys(const json::object& body) {
  return get(body, "master_key") || get(body, "self_signing_key") || get(body, "user_signing_key");
}

void append_strings(std::string& out, const std::vector<std::string>& items) {
  out += '[';
  for (const auto& item : items) {
    if (out.back() != '[') out += ',';
    append_json_string(out, item);
  }
  out += ']';
}

}  // namespace

void KeysApi::routes(net::Router& router) {
  using enum net::Method;
  const std::string v3 = "/_matrix/client/v3/keys/";
  router.add(Post, v3 + "upload", [this](net::Request& req) { return upload(req); });
  router.add(Post, v3 + "query", [this](net::Request& req) { return query(req); });
  router.add(Post, v3 + "claim", [this](net::Request& req) { return claim(req); });
  router.add(Get, v3 + "changes", [this](net::Request& req) { return changes(req); });
  router.add(Post, v3 + "device_signing/upload", [this](net::Request& req) { return upload_cross_signing(req); });
  router.add(Post, v3 + "signatures/upload", [this](net::Request& req) { return upload_signatures(req); });
  // Clients from before cross-signing was specified.
  const std::string unstable = "/_matrix/client/unstable/keys/";
  router.add(Post, unstable + "device_signing/upload", [this](net::Request& req) { return upload_cross_signing(req); });
  router.add(Post, unstable + "signatures/upload", [this](net::Request& req) { return upload_signatures(req); });
}

Task<Result<net::Response>> KeysApi::upload(net::Request& req) {
  CO_TRY(const auto session, co_await gate_.require(req, Guests::Allowed));
  CO_TRY(auto body, read_body(req));
  CO_TRY(auto answer, co_await device_keys_.upload(session->user_id, session->device_id, std::move(body)));
  co_return reply_text(std::move(answer));
}

Task<Result<net::Response>> KeysApi::query(net::Request& req) {
  CO_TRY(const auto session, co_await gate_.require(req, Guests::Allowed));
  CO_TRY(auto body, read_body(req));
  CO_TRY(auto answer, co_await device_keys_.query(session->user_id, std::move(body)));
  co_return reply_text(std::move(answer));
}

Task<Result<net::Response>> KeysApi::claim(net::Request& req) {
  CO_TRY_DO(co_await gate_.require(req, Guests::Allowed));
  CO_TRY(auto body, read_body(req));
  CO_TRY(auto answer, co_await device_keys_.claim(std::move(body)));
  co_return reply_text(std::move(answer));
}

Task<Result<net::Response>> KeysApi::changes(net::Request& req) {
  CO_TRY(const auto session, co_await gate_.require(req, Guests::Allowed));
  const auto from = req.param("from");
  const auto to = req.param("to");
  if (!from || !to) co_return fail(Errc::MissingParam, "Missing: from or to");
  const auto after = SyncToken::parse(*from);
  const auto upto = SyncToken::parse(*to);
  if (!after || !upto) co_return fail(Errc::InvalidParam, "from and to must be tokens of sync");
  CO_TRY(auto user, co_await users_.get(session->user_id));
  CO_TRY(const auto delta,
         co_await device_keys_.between(std::move(user), after->pos, std::min(upto->pos, journal_.position())));
  std::string out = "{\"changed\":";
  append_strings(out, delta.changed);
  out += ",\"left\":";
  append_strings(out, delta.left);
  out += '}';
  co_return reply_text(std::move(out));
}

Task<Result<net::Response>> KeysApi::upload_cross_signing(net::Request& req) {
  CO_TRY(const auto session, co_await gate_.require(req));
  CO_TRY(auto body, read_body(req));
  std::optional<json::value> auth;
  if (const auto* given = get(body, "auth")) {
    auth = *given;
    body.erase("auth");
  }
  if (names_keys(body)) {
    CO_TRY(const auto done, co_await cross_signing_.upload_keys(session->user_id, body, Reauthenticated::No));
    if (done == CrossSigning::Upload::Done) co_return net::Response::empty_object();
  } else if (!auth) {
    co_return fail(Errc::MissingParam, "Missing: master_key, self_signing_key or user_signing_key");
  }
  // Replacing keys is proved by the password. Nothing but `auth` repeats the session's request.
  std::vector<identity::UiaFlow> flows = {{.stages = {std::string(identity::kStagePassword)}}};
  identity::UiaContext context{.operation = std::string(kUiaOperation),
                               .user_id = session->user_id,
                               .address = std::string(req.peer),
                               .body = std::move(body)};
  CO_TRY(auto outcome, co_await uia_.check(std::move(flows), auth ? &*auth : nullptr, std::move(context)));
  if (const auto* challenge = std::get_if<identity::UiaChallenge>(&outcome)) co_return reply(challenge->body, 401);
  auto& completed = std::get<identity::UiaCompleted>(outcome);
  CO_TRY_DO(co_await cross_signing_.upload_keys(session->user_id, std::move(completed.body), Reauthenticated::Yes));
  co_return net::Response::empty_object();
}

Task<Result<net::Response>> KeysApi::upload_signatures(net::Request& req) {
  CO_TRY(const auto session, co_await gate_.require(req));
  CO_TRY(auto body, read_body(req));
  CO_TRY(auto answer, co_await cross_signing_.upload_signatures(session->user_id, std::move(body)));
  co_return reply_text(std::move(answer));
}

void ToDeviceApi::routes(net::Router& router) {
  router.on<std::string, std::string>(net::Method::Put, "/_matrix/client/v3/sendToDevice/{eventType}/{txnId}",
                                      [this](net::Request& req, std::string type, std::string txn_id) {
                                        return send(req, std::move(type), std::move(txn_id));
                                      });
}

Task<Result<net::Response>> ToDeviceApi::send(net::Request& req, std::string type, std::string txn_id) {
  CO_TRY(const auto session, co_await gate_.require(req, Guests::Allowed));
  CO_TRY(auto body, read_body(req));
  auto* messages = body.if_contains("messages");
  if (!messages) co_return fail(Errc::MissingParam, "Missing: messages");
  if (!messages->is_object()) co_return fail(Errc::BadJson, "messages must be an object");
  ToDeviceSend sent{.user_id = session->user_id,
                    .device_id = session->device_id,
                    .type = std::move(type),
                    .txn_id = std::move(txn_id),
                    .messages = std::move(messages->get_object())};
  CO_TRY_DO(co_await to_device_.send(std::move(sent)));
  co_return net::Response::empty_object();
}

}  // namespace haechi::messenger
