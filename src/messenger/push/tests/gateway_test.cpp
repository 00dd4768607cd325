#include <doctest/doctest.h>

#include "messenger/errc.hpp"
#include "messenger/event/room_version.hpp"
#include "messenger/push/gateway.hpp"

using namespace haechi;
using namespace haechi::messenger;

namespace {

json::object pusher_body() {
  return {{"kind", "http"},
          {"app_id", "org.example.app"},
          {"pushkey", "key"},
          {"app_display_name", "App"},
          {"device_display_name", "Phone"},
          {"lang", "en"},
          {"data", json::object{{"url", "https://push.example/_matrix/push/v1/notify"}, {"extra", 1}}}};
}

EventPtr message(std::string content) {
  auto e = std::make_shared<Event>();
  e->pos = 7;
  e->event_id = "$event";
  e->type = "m.room.message";
  e->sender = "@alice:example.org";
  e->finish(content);
  return e;
}

RoomPtr room() { return std::make_shared<Room>(1, "!room", *find_room_version("12")); }

json::object notification(const std::string& body) { return must_parse_object(body).at("notification").get_object(); }

}  // namespace

TEST_CASE("a pusher of kind http is understood") {
  const auto p = Pusher::parse(pusher_body());
  REQUIRE(p);
  CHECK(p->app_id == "org.example.app");
  CHECK(p->url() == "https://push.example/_matrix/push/v1/notify");
  CHECK_FALSE(p->event_id_only());
}

TEST_CASE("pushers that cannot work are refused") {
  struct Row {
    std::string_view member;
    json::value value;  // null: left out
    messenger::Errc expected;
  };
  const Row rows[] = {
      {"app_id", nullptr, messenger::Errc::MissingParam},
      {"pushkey", nullptr, messenger::Errc::MissingParam},
      {"data", nullptr, messenger::Errc::MissingParam},
      {"lang", 5, messenger::Errc::InvalidParam},
      {"app_id", json::string(65, 'x'), messenger::Errc::InvalidParam},
      {"pushkey", json::string(513, 'x'), messenger::Errc::InvalidParam},
      {"kind", "pigeon", messenger::Errc::InvalidParam},
      {"kind", "email", messenger::Errc::ThreepidNotFound},
      {"data", json::object{}, messenger::Errc::MissingParam},
      {"data", json::object{{"url", "not a url"}}, messenger::Errc::InvalidParam},
      {"data", json::object{{"url", "ftp://push.example/_matrix/push/v1/notify"}}, messenger::Errc::InvalidParam},
      {"data", json::object{{"url", "https://push.example"}}, messenger::Errc::InvalidParam},
      {"data", json::object{{"url", "https:///_matrix/push/v1/notify"}}, messenger::Errc::InvalidParam},
      {"data", json::object{{"url", "https://push.example/elsewhere"}}, messenger::Errc::InvalidParam},
      {"data", json::object{{"url", "https://push.example/_matrix/push/v1/notify/more"}},
       messenger::Errc::InvalidParam},
  };
  for (const auto& row : rows) {
    CAPTURE(row.member);
    CAPTURE(to_text(row.value));
    auto body = pusher_body();
    if (row.value.is_null()) body.erase(row.member);
    else body[row.member] = row.value;
    const auto p = Pusher::parse(body);
    REQUIRE_FALSE(p);
    CHECK(p.error().is(row.expected));
  }
}

TEST_CASE("what is stored of a pusher comes back the same") {
  auto p = *Pusher::parse(pusher_body());
  p.user_id = "@u:hs";
  p.device_id = "D";
  p.ts = 1234;
  const auto back = pusher_from_row("@u:hs", p.app_id, p.pushkey, "D", stored_definition(p));
  CHECK(back.to_client() == p.to_client());
  CHECK(back.ts == 1234);
}

TEST_CASE("a gateway is told of the event, and not of its own url") {
  auto p = *Pusher::parse(pusher_body());
  p.ts = 5000;
  const PushNotice notice{.room = room(), .event = message(R"({"body":"hey"})"), .highlight = true, .sound = "default"};
  const auto n = notification(push_body(p, notice, 3));
  CHECK(get_string(n, "event_id") == "$event");
  CHECK(get_string(n, "room_id") == "!room");
  CHECK(get_string(n, "sender") == "@alice:example.org");
  CHECK(get_string(n, "prio") == "high");
  CHECK(n.at("content") == json::value({{"body", "hey"}}));
  CHECK(n.at("counts") == json::value({{"unread", 3}}));
  const auto& device = n.at("devices").at(0).get_object();
  CHECK(device.at("pushkey_ts") == 5);
  CHECK(device.at("data") == json::value({{"extra", 1}}));
  CHECK(device.at("tweaks") == json::value({{"sound", "default"}, {"highlight", true}}));
}

TEST_CASE("a pusher for ids only is told nothing else of the event") {
  auto body = pusher_body();
  body["data"].get_object()["format"] = "event_id_only";
  const auto n =
      notification(push_body(*Pusher::parse(body), {.room = room(), .event = message(R"({"body":"x"})")}, 1));
  CHECK(get_string(n, "event_id") == "$event");
  CHECK(get_string(n, "room_id") == "!room");
  for (const auto* key : {"content", "sender", "type", "room_name"}) CHECK_FALSE(n.contains(key));
}

TEST_CASE("a new badge names no event") {
  const auto n = notification(push_body(*Pusher::parse(pusher_body()), {.room = room()}, 0));
  CHECK_FALSE(n.contains("event_id"));
  CHECK(n.at("counts") == json::value({{"unread", 0}}));
}
