#include <doctest/doctest.h>

#include "messenger/errc.hpp"
#include "messenger/sliding/request.hpp"

using namespace haechi;
using namespace haechi::messenger;
using namespace haechi::messenger::sliding;

namespace {

Result<Request> parse(std::string_view text) { return Request::parse(must_parse_object(text)); }

RequiredState state_of(std::initializer_list<std::pair<std::string_view, std::string_view>> pairs) {
  RequiredState out;
  for (const auto& [type, key] : pairs) out.add(type, key);
  return out;
}

}  // namespace

TEST_CASE("a range covers both of its ends, overlaps count once, and nothing beyond the list") {
  struct Row {
    std::optional<std::vector<Range>> ranges;
    std::size_t count;
    std::vector<std::size_t> expected;
  };
  const Row rows[] = {
      {{{{0, 2}}}, 10, {0, 1, 2}},
      {{{{0, 99}}}, 2, {0, 1}},
      {{{{5, 9}}}, 3, {}},
      {{{{2, 3}, {0, 1}}}, 10, {0, 1, 2, 3}},
      {{{{0, 3}, {2, 4}}}, 10, {0, 1, 2, 3, 4}},
      {{{{0, 4}, {1, 2}, {4, 5}}}, 10, {0, 1, 2, 3, 4, 5}},
      {{{{0, SIZE_MAX}, {3, 4}}}, 3, {0, 1, 2}},
      {std::nullopt, 3, {0, 1, 2}},
      {std::vector<Range>{}, 3, {}},
      {std::nullopt, 0, {}},
  };
  for (const auto& row : rows) CHECK(places(row.ranges, row.count) == row.expected);
}

TEST_CASE("required state matches types, keys, wildcards and oneself") {
  struct Row {
    RequiredState state;
    std::string_view type, key;
    bool expected;
  };
  const Row rows[] = {
      {state_of({{"m.room.name", ""}}), "m.room.name", "", true},
      {state_of({{"m.room.name", ""}}), "m.room.name", "x", false},
      {state_of({{"m.room.name", ""}}), "m.room.topic", "", false},
      {state_of({{"m.space.child", "*"}}), "m.space.child", "!a", true},
      {state_of({{"*", ""}}), "m.room.topic", "", true},
      {state_of({{"*", ""}}), "m.room.member", "@a", false},
      {state_of({{"*", "*"}}), "m.room.member", "@a", true},
      {state_of({{"m.room.member", "$ME"}}), "m.room.member", "@me", true},
      {state_of({{"m.room.member", "$ME"}}), "m.room.member", "@a", false},
      {state_of({{"m.room.member", "$LAZY"}}), "m.room.member", "@a", false},
  };
  for (const auto& row : rows) CHECK(row.state.matches(row.type, row.key, "@me") == row.expected);
  CHECK(state_of({{"m.room.member", "$LAZY"}}).lazy());
  CHECK_FALSE(state_of({{"m.room.name", "$LAZY"}}).lazy());
}

TEST_CASE("a required state covers another when nothing new is asked") {
  const auto wide = state_of({{"m.room.name", ""}, {"m.space.child", "*"}, {"m.room.member", "$LAZY"}});
  CHECK(wide.covers(state_of({})));
  CHECK(wide.covers(state_of({{"m.space.child", "!x"}})));
  CHECK(wide.covers(state_of({{"m.room.member", "$LAZY"}})));
  CHECK_FALSE(wide.covers(state_of({{"m.room.member", "$ME"}})));
  CHECK_FALSE(wide.covers(state_of({{"m.room.name", "*"}})));
  CHECK_FALSE(wide.covers(state_of({{"*", ""}})));
  CHECK(state_of({{"*", "*"}}).covers(wide));
  CHECK_FALSE(state_of({{"m.room.name", ""}}).covers(state_of({{"m.room.member", "$LAZY"}})));
}

TEST_CASE("filters of a list choose by what a room is") {
  const TextSet tags{"m.favourite"};
  const RoomTraits dm{.dm = true, .encrypted = true, .tags = &tags, .room_id = "!dm"};
  const RoomTraits space{.type = "m.space", .room_id = "!space"};
  const RoomTraits invite{.invite = true, .room_id = "!invite"};
  struct Row {
    ListFilters filters;
    bool dm, space, invite;
  };
  const Row rows[] = {
      {{}, true, true, true},
      {{.is_dm = true}, true, false, false},
      {{.is_dm = false}, false, true, true},
      {{.is_encrypted = true}, true, false, false},
      {{.is_invite = true}, false, false, true},
      {{.is_invite = false}, true, true, false},
      {{.room_types = {{"m.space"}}}, false, true, false},
      {{.room_types = {{""}}}, true, false, true},
      {{.not_room_types = {{"m.space"}}}, true, false, true},
      {{.room_types = std::vector<std::string>{}}, false, false, false},
      {{.tags = {{"m.favourite"}}}, true, false, false},
      {{.not_tags = {{"m.favourite"}}}, false, true, true},
      {{.spaces = {{"!space"}}}, false, false, true},
  };
  const TextSet children{"!invite"};
  for (const auto& row : rows) {
    CHECK(matches(row.filters, dm, children) == row.dm);
    CHECK(matches(row.filters, space, children) == row.space);
    CHECK(matches(row.filters, invite, children) == row.invite);
  }
}

TEST_CASE("a request is read whole") {
  const auto r = parse(R"({"conn_id":"main","lists":{"all":{"ranges":[[0,19]],"timeline_limit":1,
    "required_state":[["m.room.member","$LAZY"],["m.room.name",""]],"filters":{"is_dm":false,"room_types":[null,"m.space"]}}},
    "room_subscriptions":{"!r":{"timeline_limit":20,"required_state":[]}},
    "extensions":{"to_device":{"enabled":true,"since":"17","limit":5000},"e2ee":{"enabled":true},
    "typing":{"enabled":true,"lists":["all"],"rooms":[]},"receipts":{"enabled":true}}})");
  REQUIRE(r);
  CHECK(r->conn_id == "main");
  REQUIRE(r->lists.size() == 1);
  CHECK(r->lists[0].config->timeline_limit == 1);
  CHECK(r->lists[0].config->state.lazy());
  CHECK(*r->lists[0].filters.room_types == std::vector<std::string>{"", "m.space"});
  CHECK(r->subscriptions.at("!r")->timeline_limit == 20);
  CHECK(r->extensions.to_device_since == 17);
  CHECK(r->extensions.to_device_limit == 1000);
  CHECK(r->extensions.e2ee);
  CHECK_FALSE(r->extensions.account_data.enabled);
  CHECK(r->extensions.typing.wants_list("all"));
  CHECK_FALSE(r->extensions.typing.wants_subscription("!r"));
  CHECK(r->extensions.receipts.wants_subscription("!r"));
}

TEST_CASE("only what changes the rooms looked at changes the fingerprint") {
  const auto print = [](std::string_view text) { return parse(text)->fingerprint; };
  CHECK(print(R"({"lists":{"a":{"ranges":[[0,1]]}}})") != print(R"({"lists":{"a":{"ranges":[[0,2]]}}})"));
  CHECK(print(R"({"extensions":{"to_device":{"enabled":true,"since":"1"}}})") ==
        print(R"({"extensions":{"to_device":{"enabled":true,"since":"2"}}})"));
  CHECK(print(R"({})") != print(R"({"extensions":{"typing":{"enabled":true}}})"));
}

TEST_CASE("what a request may not say is refused") {
  for (const auto* text : {
           R"({"lists":5})",
           R"({"lists":{"a":5}})",
           R"({"lists":{"a":{"ranges":"x"}}})",
           R"({"lists":{"a":{"ranges":[[5,1]]}}})",
           R"({"lists":{"a":{"ranges":[[-1,1]]}}})",
           R"({"lists":{"a":{"ranges":[[1]]}}})",
           R"({"lists":{"a":{"timeline_limit":-1}}})",
           R"({"lists":{"a":{"timeline_limit":"1"}}})",
           R"({"lists":{"a":{"required_state":[["m.room.name"]]}}})",
           R"({"lists":{"a":{"required_state":[[1,2]]}}})",
           R"({"lists":{"a":{"filters":{"is_dm":1}}}})",
           R"({"lists":{"a":{"filters":{"tags":[1]}}}})",
           R"({"room_subscriptions":[]})",
           R"({"room_subscriptions":{"!a":1}})",
           R"({"conn_id":1})",
           R"({"extensions":[]})",
           R"({"extensions":{"to_device":{"since":"x"}}})",
           R"({"extensions":{"typing":{"enabled":"yes"}}})",
       }) {
    const auto r = parse(text);
    CAPTURE(text);
    REQUIRE_FALSE(r);
    CHECK(r.error().is(messenger::Errc::InvalidParam));
  }
}
