#include "messenger/accounts/info_api.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/text.hpp"
#include "messenger/accounts/wire.hpp"
#include "messenger/api/errors.hpp"
#include "messenger/errc.hpp"
#include "messenger/event/room_version.hpp"

namespace haechi::messenger {
namespace {

constexpr int kMinorVersionMax = 19;

// Clients look here for what they may use before, or without, a version that has it.
constexpr std::string_view kUnstableFeatures[] = {
    "org.matrix.e2e_cross_signing",  // cross-signing, for clients from before v1.1
    "org.matrix.msc2285.stable",     // private read receipts
    "uk.half-shot.msc2666.query_mutual_rooms",
    "org.matrix.msc3440.stable",      // threads
    "org.matrix.simplified_msc3575",  // simplified sliding sync (MSC4186)
    "org.matrix.msc3827.stable",      // room types in the directory
    "org.matrix.msc3856",             // list of threads
    "org.matrix.msc3916.stable",      // authenticated media
    "uk.tcpip.msc4133",               // custom profile fields
    "uk.tcpip.msc4133.stable",
    "org.matrix.msc4222",  // state_after in sync
};

std::string versions_text() {
  json::array versions;
  for (const auto* old : {"r0.0.1", "r0.1.0", "r0.2.0", "r0.3.0", "r0.4.0", "r0.5.0", "r0.6.0", "r0.6.1"}) {
    versions.emplace_back(old);
  }
  for (int minor = 1; minor <= kMinorVersionMax; ++minor) versions.emplace_back("v1." + std::to_string(minor));
  json::object features;
  for (const auto feature : kUnstableFeatures) features[feature] = true;
  json::object answer;
  answer["versions"] = std::move(versions);
  answer["unstable_features"] = std::move(features);
  return json::serialize(answer);
}

json::object capability(bool enabled) { return {{"enabled", enabled}}; }

std::string capabilities_text(const Options& options, bool admin) {
  json::object available;
  for (const auto* version : room_versions()) available[version->id] = "stable";
  json::object versions{{"default", options.default_room_version}};
  versions["available"] = std::move(available);

  json::object all;
  all["m.room_versions"] = std::move(versions);
  for (const auto* name : {"m.change_password", "m.set_displayname", "m.set_avatar_url", "m.get_login_token",
                           "m.profile_fields", "uk.tcpip.msc4133.profile_fields"}) {
    all[name] = capability(true);
  }
  all["m.3pid_changes"] = capability(false);
  all["m.forget_forced_upon_leave"] = capability(false);
  if (admin) {
    json::object moderation{{"lock", true}, {"suspend", true}};
    all["m.account_moderation"] = std::move(moderation);
  }
  json::object answer;
  answer["capabilities"] = std::move(all);
  return json::serialize(answer);
}

net::SharedBytes shared(std::string text) { return std::make_shared<const std::string>(std::move(text)); }

}  // namespace

InfoApi::InfoApi(Gate& gate, const Clock& clock, const Options& options)
    : gate_(gate),
      clock_(clock),
      options_(options),
      versions_(shared(versions_text())),
      capabilities_(shared(capabilities_text(options, false))),
      admin_capabilities_(shared(capabilities_text(options, true))) {}

void InfoApi::routes(net::Router& router) {
  using net::Method;
  const std::string v3 = "/_matrix/client/v3/";
  router.add(Method::Get, "/_matrix/client/versions", [this](net::Request& req) { return versions(req); });
  router.add(Method::Get, v3 + "capabilities", [this](net::Request& req) { return capabilities(req); });
  router.add(Method::Get, v3 + "voip/turnServer", [this](net::Request& req) { return turn_server(req); });

  router.add(Method::Get, v3 + "thirdparty/protocols", [this](net::Request& req) { return no_protocols(req); });
  for (const auto* what : {"location", "user"}) {
    router.add(Method::Get, v3 + "thirdparty/" + what, [this](net::Request& req) { return nothing_listed(req); });
  }
  for (const auto* what : {"protocol", "location", "user"}) {
    router.on<std::string>(Method::Get, v3 + "thirdparty/" + what + "/{protocol}",
                           [this](net::Request& req, std::string p) { return no_such_protocol(req, std::move(p)); });
  }

  router.add(Method::Get, "/.well-known/matrix/client", [this](net::Request& req) { return well_known_client(req); });
  router.add(Method::Get, "/.well-known/matrix/support", [this](net::Request& req) { return well_known_support(req); });
  router.render_errors("/.well-known/matrix", render_matrix_error);
}

InfoApi::Answer InfoApi::versions(net::Request&) { co_return net::Response{.body = versions_}; }

InfoApi::Answer InfoApi::capabilities(net::Request& req) {
  CO_TRY(const auto session, co_await gate_.require(req, Guests::Allowed));
  co_return net::Response{.body = session->admin ? admin_capabilities_ : capabilities_};
}

InfoApi::Answer InfoApi::well_known_client(net::Request& req) {
  std::string base = options_.accounts.client_base_url;
  if (base.empty()) {
    const bool tls = req.tls || iequals_ascii(req.header("x-forwarded-proto"), "https");
    const auto host = req.header("host");
    base = (tls ? "https://" : "http://") + std::string(host.empty() ? std::string_view(options_.server_name) : host);
  }
  co_return reply(discovery(base));
}

InfoApi::Answer InfoApi::well_known_support(net::Request&) {
  const auto& a = options_.accounts;
  json::object contact;
  if (!a.support_email.empty()) contact["email_address"] = a.support_email;
  if (!a.support_matrix_id.empty()) contact["matrix_id"] = a.support_matrix_id;
  json::object answer;
  if (!contact.empty()) {
    contact["role"] = "m.role.admin";
    json::array contacts;
    contacts.push_back(std::move(contact));
    answer["contacts"] = std::move(contacts);
  }
  if (!a.support_page.empty()) answer["support_page"] = a.support_page;
  if (answer.empty()) co_return fail(Errc::NotFound, "This server names no support contact");
  co_return reply(answer);
}

TurnCredentials turn_credentials(std::string_view secret, std::string_view user_id, std::int64_t expires_s) {
  TurnCredentials out;
  out.username = std::to_string(expires_s) + ':';
  out.username += user_id;
  std::uint8_t mac[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  HMAC(EVP_sha1(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(out.username.data()), out.username.size(), mac, &length);
  out.password = base64_encode({mac, length});
  while (out.password.size() % 4 != 0) out.password += '=';  // TURN servers compare the padded form
  return out;
}

InfoApi::Answer InfoApi::turn_server(net::Request& req) {
  CO_TRY(const auto session, co_await gate_.require(req, Guests::Allowed));
  const auto& a = options_.accounts;
  if (a.turn_uris.empty() || a.turn_secret.empty()) co_return net::Response::empty_object();
  const auto credentials =
      turn_credentials(a.turn_secret, session->user_id, clock_.wall_ms() / 1000 + a.turn_lifetime_s);
  json::object answer{
      {"username", credentials.username}, {"password", credentials.password}, {"ttl", a.turn_lifetime_s}};
  answer["uris"] = json::array(a.turn_uris.begin(), a.turn_uris.end());
  co_return reply(answer);
}

// -- bridges: there are none --

InfoApi::Answer InfoApi::no_protocols(net::Request& req) {
  CO_TRY_DO(co_await gate_.require(req));
  co_return net::Response::empty_object();
}

InfoApi::Answer InfoApi::nothing_listed(net::Request& req) {
  CO_TRY_DO(co_await gate_.require(req));
  co_return reply_text("[]");
}

InfoApi::Answer InfoApi::no_such_protocol(net::Request& req, std::string protocol) {
  CO_TRY_DO(co_await gate_.require(req));
  co_return fail(Errc::NotFound, "Unknown protocol: " + protocol);
}

}  // namespace haechi::messenger
