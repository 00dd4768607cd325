#include "messenger/accounts/wire.hpp"

#include "messenger/errc.hpp"

namespace haechi::messenger {

Result<std::optional<std::string>> optional_string(const json::object& o, std::string_view key) {
  const auto* v = get(o, key);
  if (!v || v->is_null()) return std::optional<std::string>();
  if (!v->is_string()) return fail(Errc::BadJson, std::string(key) + " must be a string");
  return std::optional(std::string(sv(v->get_string())));
}

Result<bool> optional_flag(const json::object& o, std::string_view key, bool fallback) {
  const auto* v = get(o, key);
  if (!v || v->is_null()) return fallback;
  if (!v->is_bool()) return fail(Errc::BadJson, std::string(key) + " must be true or false");
  return v->get_bool();
}

Result<identity::DeviceRequest> device_request(const json::object& body) {
  identity::DeviceRequest device;
  TRY(device.device_id, optional_string(body, "device_id"));
  TRY(device.display_name, optional_string(body, "initial_device_display_name"));
  TRY(const bool refresh, optional_flag(body, "refresh_token", false));
  device.refresh = refresh ? identity::Refresh::Yes : identity::Refresh::No;
  return device;
}

json::object discovery(std::string_view base_url) {
  json::object homeserver{{"base_url", base_url}};
  return {{"m.homeserver", std::move(homeserver)}};
}

json::object login_answer(const identity::LoggedIn& login, const Options& options) {
  json::object o{{"user_id", login.user_id},
                 {"device_id", login.device_id},
                 {"access_token", login.tokens.access_token},
                 {"home_server", options.server_name}};  // deprecated, but old clients read it
  if (login.tokens.refresh_token) o["refresh_token"] = *login.tokens.refresh_token;
  if (login.tokens.expires_in_ms) o["expires_in_ms"] = *login.tokens.expires_in_ms;
  if (!options.accounts.client_base_url.empty()) o["well_known"] = discovery(options.accounts.client_base_url);
  return o;
}

}  // namespace haechi::messenger
