#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "messenger/api/gate.hpp"

namespace haechi::messenger {

enum class RegistrationMode { Closed, Token, Open, SharedSecret };

/// What the operator set, as far as the messenger needs it.
struct Options {
  std::string server_name;
  std::string default_room_version = "11";
  bool presence = true;
  Limits limits;

  struct Accounts {
    RegistrationMode registration = RegistrationMode::Closed;
    std::string shared_secret;
    std::string node_admin_token;  ///< opens /_haechi/v1/admin to the command line; empty: to nobody
    bool guest_access = false;
    std::string client_base_url;  ///< what well-known tells; empty: derived from the Host header
    std::string support_page, support_email, support_matrix_id;
    std::vector<std::string> turn_uris;
    std::string turn_secret;
    std::int64_t turn_lifetime_s = 86'400;
  } accounts;

  struct Media {
    bool allow_legacy_unauthenticated = true;
  } media;

  struct Preview {
    bool enabled = true;
    std::vector<std::string> allowed_ranges;
    std::vector<std::string> denied;  ///< host globs
  } preview;

  struct Push {
    std::vector<std::string> allowed_ranges;
  } push;
};

}  // namespace haechi::messenger
