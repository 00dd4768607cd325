#include "messenger/rooms/preset.hpp"

#include <doctest/doctest.h>
#include <algorithm>

#include "messenger/errc.hpp"

namespace haechi::messenger {
namespace {

constexpr std::string_view kMe = "@me:example.org";
constexpr std::string_view kServer = "example.org";

RoomPlan planned(std::string_view body) {
  auto plan = plan_room(must_parse_object(body), kMe, kServer, "11");
  REQUIRE_MESSAGE(plan.has_value(), body);
  return *std::move(plan);
}

std::vector<PlannedEvent> events_of(std::string_view body) {
  const auto plan = planned(body);
  return room_events(plan, kMe, {.displayname = "Me", .avatar_url = std::nullopt},
                     std::vector<Profile>(plan.invite.size()));
}

const json::object& content(const std::vector<PlannedEvent>& events, std::string_view type) {
  const auto it = std::ranges::find(events, type, &PlannedEvent::type);
  REQUIRE(it != events.end());
  return it->content;
}

std::string types(const std::vector<PlannedEvent>& events) {
  std::string out;
  for (const auto& e : events) out += (out.empty() ? "" : " ") + e.type.substr(e.type.rfind('.') + 1);
  return out;
}

}  // namespace

TEST_CASE("the first events come in the order of the specification") {
  const struct {
    std::string_view body;
    std::string_view order;
  } rows[] = {
      {R"({})", "create member power_levels join_rules history_visibility guest_access"},
      {R"({"name":"N","topic":"T","room_alias_name":"a","invite":["@you:example.org"],
           "initial_state":[{"type":"m.room.encryption","content":{}}]})",
       "create member power_levels canonical_alias join_rules history_visibility guest_access encryption name topic "
       "member"},
      {R"({"initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"knock"}}]})",
       "create member power_levels history_visibility guest_access join_rules"},
      {R"({"initial_state":[{"type":"m.room.power_levels","content":{}},{"type":"x.y","content":{}}]})",
       "create member power_levels join_rules history_visibility guest_access y"},
  };
  for (const auto& row : rows) CHECK_MESSAGE(types(events_of(row.body)) == row.order, row.body);
}

TEST_CASE("a preset sets join rules and guest access; without one the visibility chooses it") {
  const struct {
    std::string_view body, rule, guests;
  } rows[] = {
      {R"({"preset":"private_chat"})", "invite", "can_join"},
      {R"({"preset":"trusted_private_chat"})", "invite", "can_join"},
      {R"({"preset":"public_chat"})", "public", "forbidden"},
      {R"({"visibility":"public"})", "public", "forbidden"},
      {R"({"visibility":"private"})", "invite", "can_join"},
      {R"({"visibility":"public","preset":"private_chat"})", "invite", "can_join"},
  };
  for (const auto& row : rows) {
    const auto events = events_of(row.body);
    CHECK(get_string(content(events, "m.room.join_rules"), "join_rule") == row.rule);
    CHECK(get_string(content(events, "m.room.guest_access"), "guest_access") == row.guests);
  }
}

TEST_CASE("the creator is named where the room version wants it") {
  auto ten = content(
      events_of(R"({"room_version":"10","creation_content":{"creator":"@evil:example.org","room_version":"1"}})"),
      "m.room.create");
  CHECK(get_string(ten, "creator") == kMe);
  CHECK(get_string(ten, "room_version") == "10");
  auto eleven =
      content(events_of(R"({"creation_content":{"creator":"@evil:example.org","type":"m.space"}})"), "m.room.create");
  CHECK(!eleven.contains("creator"));
  CHECK(get_string(eleven, "type") == "m.space");
}

TEST_CASE("invitees of a trusted chat share the creator's power") {
  const auto body =
      R"({"preset":"trusted_private_chat","invite":["@a:example.org","@a:example.org","@me:example.org"],"room_version":)";
  const auto old = events_of(std::string(body) + "\"11\"}");
  CHECK(to_text(content(old, "m.room.power_levels").at("users")) == R"({"@me:example.org":100,"@a:example.org":100})");
  const auto now = events_of(std::string(body) + "\"12\"}");
  CHECK(to_text(content(now, "m.room.power_levels").at("users")) == "{}");
  CHECK(to_text(content(now, "m.room.create").at("additional_creators")) == R"(["@a:example.org"])");
}

TEST_CASE("the override replaces only the levels that it names") {
  const auto events =
      events_of(R"({"power_level_content_override":{"events_default":50,"users":{"@me:example.org":100}}})");
  const auto& levels = content(events, "m.room.power_levels");
  CHECK(get_int(levels, "events_default") == 50);
  CHECK(get_int(levels, "state_default") == 50);
  CHECK(get_int(levels, "ban") == 50);
}

TEST_CASE("a room that cannot be is refused with its reason") {
  const struct {
    std::string_view body;
    Errc why;
  } rows[] = {
      {R"({"preset":"no_such"})", Errc::InvalidParam},
      {R"({"visibility":7})", Errc::BadJson},
      {R"({"visibility":"sideways"})", Errc::InvalidParam},
      {R"({"invite":"x"})", Errc::BadJson},
      {R"({"invite":["nonsense"]})", Errc::InvalidParam},
      {R"({"invite":["@a:elsewhere.example"]})", Errc::Forbidden},
      {R"({"invite_3pid":[{}]})", Errc::ThreepidDenied},
      {R"({"initial_state":{}})", Errc::BadJson},
      {R"({"initial_state":[{"content":{}}]})", Errc::BadJson},
      {R"({"initial_state":[{"type":"m.room.name","content":3}]})", Errc::BadJson},
      {R"({"name":5})", Errc::BadJson},
      {R"({"creation_content":[]})", Errc::BadJson},
      {R"({"power_level_content_override":"x"})", Errc::BadJson},
      {R"({"room_alias_name":"has space"})", Errc::InvalidParam},
      {R"({"room_alias_name":"a:b"})", Errc::InvalidParam},
      {R"({"room_version":"nonsense"})", Errc::UnsupportedRoomVersion},
      {R"({"room_version":11})", Errc::BadJson},
      {R"({"room_version":"12","creation_content":{"additional_creators":"x"}})", Errc::BadJson},
      {R"({"room_version":"12","creation_content":{"additional_creators":["x"]}})", Errc::InvalidParam},
      {R"({"room_version":"12","power_level_content_override":{"users":{"@me:example.org":100}}})", Errc::BadJson},
  };
  for (const auto& row : rows) {
    const auto plan = plan_room(must_parse_object(row.body), kMe, kServer, "11");
    REQUIRE_MESSAGE(!plan.has_value(), row.body);
    CHECK_MESSAGE(plan.error().is(row.why), row.body);
  }
}

}  // namespace haechi::messenger
