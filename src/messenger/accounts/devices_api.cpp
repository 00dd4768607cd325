#include "messenger/accounts/account_api.hpp"
#include "messenger/accounts/prove.hpp"
#include "messenger/accounts/wire.hpp"
#include "messenger/errc.hpp"

namespace haechi::messenger {
namespace {

json::object shown(const identity::Device& device) {
  json::object o{{"device_id", device.device_id}};
  if (device.display_name) o["display_name"] = *device.display_name;
  if (device.last_seen_ip) o["last_seen_ip"] = *device.last_seen_ip;
  // A device was seen when it logged in, if never since.
  o["last_seen_ts"] = device.last_seen_ms.value_or(device.created_ms);
  return o;
}

constexpr std::size_t kDevicesMax = 10'000;

Result<std::vector<std::string>> device_ids(const json::object& body) {
  const auto* given = get(body, "devices");
  if (!given) return fail(Errc::MissingParam, "Missing: devices");
  if (!given->is_array()) return fail(Errc::BadJson, "devices must be a list of device ids");
  if (given->get_array().size() > kDevicesMax) return fail(Errc::InvalidParam, "Too many devices at once");
  std::vector<std::string> ids;
  for (const auto& id : given->get_array()) {
    if (!id.is_string()) return fail(Errc::BadJson, "devices must be a list of device ids");
    ids.emplace_back(sv(id.get_string()));
  }
  return ids;
}

}  // namespace

void DevicesApi::routes(net::Router& router) {
  using net::Method;
  const std::string v3 = "/_matrix/client/v3/";
  const std::string one_device = v3 + "devices/{deviceId}";
  router.add(Method::Get, v3 + "devices", [this](net::Request& req) { return list(req); });
  router.on<std::string>(Method::Get, one_device,
                         [this](net::Request& req, std::string id) { return one(req, std::move(id)); });
  router.on<std::string>(Method::Put, one_device,
                         [this](net::Request& req, std::string id) { return rename(req, std::move(id)); });
  router.on<std::string>(Method::Delete, one_device,
                         [this](net::Request& req, std::string id) { return remove(req, std::move(id)); });
  router.add(Method::Post, v3 + "delete_devices", [this](net::Request& req) { return remove_many(req); });
}

DevicesApi::Answer DevicesApi::list(net::Request& req) {
  CO_TRY(const auto session, co_await gate_.require(req, Guests::Allowed));
  CO_TRY(const auto devices, co_await sessions_.devices(session->user_id));
  json::array listed;
  for (const auto& device : devices) listed.push_back(shown(device));
  json::object answer;
  answer["devices"] = std::move(listed);
  co_return reply(answer);
}

DevicesApi::Answer DevicesApi::one(net::Request& req, std::string device_id) {
  CO_TRY(const auto session, co_await gate_.require(req, Guests::Allowed));
  CO_TRY(const auto device, co_await sessions_.device(session->user_id, std::move(device_id)));
  co_return reply(shown(device));
}

DevicesApi::Answer DevicesApi::rename(net::Request& req, std::string device_id) {
  CO_TRY(const auto session, co_await gate_.require(req, Guests::Allowed));
  CO_TRY(const auto body, read_body(req));
  CO_TRY(auto name, optional_string(body, "display_name"));
  if (!get(body, "display_name")) {
    // Nothing to change, but a device that is not there is still an error.
    CO_TRY_DO(co_await sessions_.device(session->user_id, std::move(device_id)));
    co_return net::Response::empty_object();
  }
  CO_TRY_DO(co_await sessions_.rename_device(session->user_id, std::move(device_id), std::move(name)));
  co_return net::Response::empty_object();
}

DevicesApi::Answer DevicesApi::remove(net::Request& req, std::string device_id) {
  CO_TRY(auto session, co_await gate_.require(req));
  CO_TRY(auto body, read_body(req, EmptyBody::IsObject));
  CO_TRY(auto proof, co_await prove_password(uia_, req, session, "DELETE /devices/" + device_id, std::move(body)));
  if (!proof.passed) co_return std::move(proof.challenge);
  std::vector<std::string> ids;
  ids.push_back(std::move(device_id));
  CO_TRY_DO(co_await sessions_.delete_devices(session->user_id, std::move(ids)));
  co_return net::Response::empty_object();
}

DevicesApi::Answer DevicesApi::remove_many(net::Request& req) {
  CO_TRY(auto session, co_await gate_.require(req));
  CO_TRY(auto body, read_body(req));
  CO_TRY(auto proof, co_await prove_password(uia_, req, session, "POST /delete_devices", std::move(body)));
  if (!proof.passed) co_return std::move(proof.challenge);
  CO_TRY(auto ids, device_ids(proof.passed->body));
  CO_TRY_DO(co_await sessions_.delete_devices(session->user_id, std::move(ids)));
  co_return net::Response::empty_object();
}

}  // namespace haechi::messenger
