#include <doctest/doctest.h>

#include "messenger/accounts/info_api.hpp"
#include "messenger/accounts/wire.hpp"
#include "messenger/errc.hpp"

using namespace haechi;
using namespace haechi::messenger;

TEST_CASE("TURN credentials are those that coturn computes from the shared secret") {
  // printf '1700000000:@u:hs' | openssl dgst -sha1 -hmac north -binary | base64
  const auto c = turn_credentials("north", "@u:hs", 1'700'000'000);
  CHECK(c.username == "1700000000:@u:hs");
  CHECK(c.password == "isINs0dVoew5cppIZWa2SmBmJv4=");
}

TEST_CASE("what a client says of its device is read strictly") {
  struct Row {
    const char* body;
    bool fine;
  };
  const Row rows[] = {
      {R"({})", true},
      {R"({"device_id":"A","initial_device_display_name":"phone","refresh_token":true})", true},
      {R"({"device_id":null,"refresh_token":null})", true},
      {R"({"device_id":7})", false},
      {R"({"initial_device_display_name":{}})", false},
      {R"({"refresh_token":"yes"})", false},
  };
  for (const auto& row : rows) {
    CAPTURE(row.body);
    const auto read = device_request(*parse_json_object(row.body));
    CHECK(read.has_value() == row.fine);
    if (!read) CHECK(read.error().is(messenger::Errc::BadJson));
  }
}

TEST_CASE("a log-in's answer tells of refreshing and of the server's address only where there is such a thing") {
  Options options;
  options.server_name = "hs";
  identity::LoggedIn login{.user_id = "@u:hs", .device_id = "D", .tokens = {.access_token = "t"}};
  const auto plain = login_answer(login, options);
  CHECK_FALSE(plain.contains("refresh_token"));
  CHECK_FALSE(plain.contains("expires_in_ms"));
  CHECK_FALSE(plain.contains("well_known"));

  options.accounts.client_base_url = "https://m.hs";
  login.tokens.refresh_token = "r";
  login.tokens.expires_in_ms = 5;
  const auto full = login_answer(login, options);
  CHECK(get_string(full, "refresh_token") == "r");
  CHECK(get_int(full, "expires_in_ms") == 5);
  CHECK(to_text(full.at("well_known")) == R"({"m.homeserver":{"base_url":"https://m.hs"}})");
}
