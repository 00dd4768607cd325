#include "messenger/sync/filter.hpp"

#include <doctest/doctest.h>

#include "messenger/errc.hpp"
#include "messenger/room/tests/make_event.hpp"

using namespace haechi;
using namespace haechi::messenger;
using messenger::room_test::make_event;

namespace {

Result<Filter> parse(std::string_view text) {
  auto o = parse_json_object(text);
  REQUIRE(o);
  return Filter::parse(*o);
}

RoomEventFilter room_filter(std::string_view text) {
  auto o = parse_json_object(text);
  REQUIRE(o);
  auto f = parse_room_event_filter(*o);
  REQUIRE(f);
  return *std::move(f);
}

}  // namespace

TEST_CASE("an empty filter shows everything") {
  for (const char* text : {"{}", R"({"room":{}})", R"({"room":null,"presence":null,"event_fields":null})",
                           R"({"room":{"timeline":{"types":null,"limit":null}},"unknown":[1]})"}) {
    CAPTURE(text);
    const auto f = parse(text);
    REQUIRE(f);
    CHECK(f->timeline.everything());
    CHECK(f->presence.all());
    CHECK(f->wants_room("!any:hs"));
    CHECK_FALSE(f->include_leave);
    CHECK_FALSE(f->federation_format);
    CHECK_FALSE(f->timeline.limit);
    CHECK_FALSE(f->state.lazy_load_members);
  }
}

TEST_CASE("every field of a filter is read where the specification puts it") {
  const auto f = parse(R"({
    "account_data":{"types":["m.direct"]}, "presence":{"not_types":["*"]}, "event_fields":["content.body"],
    "event_format":"federation",
    "room":{"rooms":["!a:hs","!b:hs"], "not_rooms":["!b:hs"], "include_leave":true,
            "timeline":{"limit":3,"unread_thread_notifications":true,"contains_url":false},
            "state":{"lazy_load_members":true,"include_redundant_members":true},
            "ephemeral":{"types":[]}, "account_data":{"rooms":["!a:hs"]}}})");
  REQUIRE(f);
  CHECK(f->account_data.matches("m.direct", ""));
  CHECK_FALSE(f->account_data.matches("m.push_rules", ""));
  CHECK_FALSE(f->presence.matches("m.presence", "@a:hs"));
  CHECK(f->event_fields == std::vector<std::string>{"content.body"});
  CHECK(f->federation_format);
  CHECK(f->wants_room("!a:hs"));
  CHECK_FALSE(f->wants_room("!b:hs"));
  CHECK_FALSE(f->wants_room("!c:hs"));
  CHECK(f->include_leave);
  CHECK(f->timeline.limit == 3);
  CHECK(f->timeline.unread_thread_notifications);
  CHECK(f->timeline.contains_url == false);
  CHECK_FALSE(f->timeline.everything());
  CHECK(f->state.lazy_load_members);
  CHECK(f->state.include_redundant_members);
  CHECK_FALSE(f->ephemeral.EventFilter::matches("m.typing", ""));
  CHECK_FALSE(f->room_account_data.matches_room("!b:hs"));
}

TEST_CASE("types are globs, senders are not") {
  struct Row {
    const char* filter;
    const char* type;
    const char* sender;
    bool shown;
  };
  for (const auto& r : {
           Row{R"({})", "m.room.message", "@a:hs", true},
           Row{R"({"types":[]})", "m.room.message", "@a:hs", false},
           Row{R"({"types":["m.room.*"]})", "m.room.message", "@a:hs", true},
           Row{R"({"types":["m.room.*"]})", "m.reaction", "@a:hs", false},
           Row{R"({"types":["m.room.messag?"]})", "m.room.message", "@a:hs", false},
           Row{R"({"types":["M.ROOM.MESSAGE"]})", "m.room.message", "@a:hs", false},
           Row{R"({"types":["m.room.message"],"not_types":["m.*"]})", "m.room.message", "@a:hs", false},
           Row{R"({"senders":["@a:hs"]})", "x", "@a:hs", true},
           Row{R"({"senders":["@A:hs"]})", "x", "@a:hs", false},
           Row{R"({"senders":[]})", "x", "@a:hs", false},
           Row{R"({"senders":["@a:hs"],"not_senders":["@a:hs"]})", "x", "@a:hs", false},
           Row{R"({"not_senders":["@b:hs"]})", "x", "@a:hs", true},
       }) {
    CAPTURE(r.filter);
    CHECK(room_filter(r.filter).matches(*make_event({.type = r.type, .sender = r.sender})) == r.shown);
  }
}

TEST_CASE("contains_url asks for a string at the top of the content") {
  struct Row {
    const char* content;
    bool has;
  };
  for (const auto& r :
       {Row{R"({"url":"mxc://hs/a"})", true}, Row{R"({"url":5})", false}, Row{R"({"info":{"url":"x"}})", false},
        Row{R"({"body":"\"url\":"})", false}, Row{"{}", false}}) {
    CAPTURE(r.content);
    const auto e = make_event({.type = "m.room.message", .content = r.content});
    CHECK(room_filter(R"({"contains_url":true})").matches(*e) == r.has);
    CHECK(room_filter(R"({"contains_url":false})").matches(*e) != r.has);
    CHECK(room_filter("{}").matches(*e));
  }
}

TEST_CASE("a wrong type is refused and the field is named") {
  struct Row {
    const char* text;
    const char* named;
  };
  for (const auto& r : {
           Row{R"({"room":[]})", "room"},
           Row{R"({"room":"x"})", "room"},
           Row{R"({"presence":5})", "presence"},
           Row{R"({"account_data":[]})", "account_data"},
           Row{R"({"event_fields":"content"})", "event_fields"},
           Row{R"({"event_fields":[1]})", "event_fields"},
           Row{R"({"event_format":1})", "event_format"},
           Row{R"({"event_format":"xml"})", "event_format"},
           Row{R"({"room":{"rooms":"!a:hs"}})", "rooms"},
           Row{R"({"room":{"not_rooms":[null]}})", "not_rooms"},
           Row{R"({"room":{"rooms":["here"]}})", "rooms"},
           Row{R"({"room":{"not_rooms":["@a:hs"]}})", "not_rooms"},
           Row{R"({"room":{"timeline":{"rooms":[""]}}})", "rooms"},
           Row{R"({"room":{"timeline":{"senders":["@a:*"]}}})", "senders"},
           Row{R"({"room":{"state":{"not_senders":["bob"]}}})", "not_senders"},
           Row{R"({"presence":{"senders":["!a:hs"]}})", "senders"},
           Row{R"({"room":{"include_leave":"yes"}})", "include_leave"},
           Row{R"({"room":{"timeline":[]}})", "timeline"},
           Row{R"({"room":{"timeline":{"limit":"10"}}})", "limit"},
           Row{R"({"room":{"timeline":{"limit":1.5}}})", "limit"},
           Row{R"({"room":{"timeline":{"limit":-1}}})", "limit"},
           Row{R"({"room":{"timeline":{"limit":18446744073709551615}}})", "limit"},
           Row{R"({"room":{"timeline":{"types":"m.*"}}})", "types"},
           Row{R"({"room":{"timeline":{"types":[["m.*"]]}}})", "types"},
           Row{R"({"room":{"timeline":{"not_senders":{}}}})", "not_senders"},
           Row{R"({"room":{"timeline":{"contains_url":"x"}}})", "contains_url"},
           Row{R"({"room":{"state":{"lazy_load_members":1}}})", "lazy_load_members"},
           Row{R"({"room":{"state":{"unread_thread_notifications":{}}}})", "unread_thread_notifications"},
           Row{R"({"room":{"ephemeral":0}})", "ephemeral"},
           Row{R"({"room":{"account_data":false}})", "account_data"},
       }) {
    CAPTURE(r.text);
    const auto f = parse(r.text);
    REQUIRE_FALSE(f);
    CHECK((f.error().is(messenger::Errc::BadJson) || f.error().is(messenger::Errc::InvalidParam)));
    CHECK(f.error().message.find(r.named) != std::string::npos);
  }
}

TEST_CASE("rooms of every version can be named") {
  const auto f = parse(R"({"room":{"rooms":["!old:hs","!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM"]}})");
  REQUIRE(f);
  CHECK(f->wants_room("!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM"));
}

TEST_CASE("lists in a filter are bounded") {
  std::string text = R"({"room":{"rooms":["!a:hs")";
  for (int i = 0; i < 1000; ++i) text += R"(,"!a:hs")";
  CHECK_FALSE(parse(text + "]}}"));
}
