#pragma once
// Logging in as it stands on the wire, alike for every way in.

#include <string>

#include "base/json.hpp"
#include "identity/types.hpp"
#include "messenger/options.hpp"

namespace haechi::messenger {

/// device_id, initial_device_display_name and refresh_token of a request. Errc::BadJson.
Result<identity::DeviceRequest> device_request(const json::object& body);

/// access_token, device_id, user_id, and what else a log-in answers.
json::object login_answer(const identity::LoggedIn& login, const Options& options);

/// An optional string member. Errc::BadJson when it is something else; null counts as absent.
Result<std::optional<std::string>> optional_string(const json::object& o, std::string_view key);
/// The same for a boolean.
Result<bool> optional_flag(const json::object& o, std::string_view key, bool fallback);

/// {"m.homeserver":{"base_url":...}}.
json::object discovery(std::string_view base_url);

}  // namespace haechi::messenger
