#include <doctest/doctest.h>

#include "base/text.hpp"
#include "messenger/event/signing.hpp"
#include "messenger/event/tests/fake_state.hpp"

using namespace haechi;
using namespace haechi::messenger;

namespace {

constexpr SigningSeed kIdentityServer{7};
constexpr SigningSeed kStranger{8};

struct Case {
  SigningSeed signer = kIdentityServer;
  std::string sender = "@alice:h";
  std::string target = "@new:h";
  std::string target_before = "leave";
  bool key_in_list = false;
  bool tampered = false;
};

bool allowed(const RoomVersion& version, const Case& c) {
  FakeState state;
  state.set("m.room.create", "", {{"creator", "@alice:h"}}, "@alice:h");
  state.member("@alice:h", "join");
  state.member("@bob:h", "join");
  state.member("@new:h", c.target_before);
  const auto key = base64_encode(verify_key_of(kIdentityServer));
  json::object pending{{"display_name", "n"}, {"public_key", c.key_in_list ? "AAAA" : key}};
  if (c.key_in_list)
    pending["public_keys"] = json::array{json::object{{"public_key", "x"}}, json::object{{"public_key", key}}};
  state.set("m.room.third_party_invite", "token", pending, "@alice:h");

  json::object signed_part{{"mxid", "@new:h"}, {"token", "token"}};
  REQUIRE(sign_json(signed_part, "id.h", "ed25519:0", c.signer));
  if (c.tampered) signed_part["sender"] = "@alice:h";
  const json::object content{{"membership", "invite"}, {"third_party_invite", {{"signed", signed_part}}}};
  return authorize(version,
                   {.room_id = version.room_id_is_hash ? "!create" : "!r:h",
                    .sender = c.sender,
                    .type = "m.room.member",
                    .state_key = c.target,
                    .content = &content},
                   state)
      .has_value();
}

}  // namespace

TEST_CASE("a third-party invite is good only as it was signed, for whom and by whom it was made") {
  for (const auto* version : room_versions()) {
    CAPTURE(version->id);
    CHECK(allowed(*version, {}));
    CHECK(allowed(*version, {.key_in_list = true}));
    CHECK_FALSE(allowed(*version, {.signer = kStranger}));
    CHECK_FALSE(allowed(*version, {.sender = "@bob:h"}));
    CHECK_FALSE(allowed(*version, {.target = "@other:h"}));
    CHECK_FALSE(allowed(*version, {.target_before = "ban"}));
    CHECK_FALSE(allowed(*version, {.tampered = true}));
  }
}
