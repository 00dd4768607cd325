#include "messenger/room/event.hpp"

#include <doctest/doctest.h>

#include "messenger/room/tests/make_event.hpp"

using namespace haechi;
using namespace haechi::messenger;
using messenger::room_test::make_event;

namespace {

std::string shown(const Event& e, const ClientView& view = {}) {
  std::string out;
  append_client_event(out, e, view);
  CHECK(parse_json_object(out));
  return out;
}

}  // namespace

TEST_CASE("a message as clients see it") {
  const auto e = make_event({.content = R"({"body":"hi \"you\"","msgtype":"m.text"})"});
  CHECK(shown(*e) ==
        R"({"content":{"body":"hi \"you\"","msgtype":"m.text"},"event_id":"$event","origin_server_ts":1000,)"
        R"("sender":"@alice:hs","type":"m.room.message","unsigned":{"age":0}})");
  CHECK(shown(*e, {.with_room_id = true, .room_id = "!r:hs", .now = 1'250}) ==
        R"({"content":{"body":"hi \"you\"","msgtype":"m.text"},"event_id":"$event","origin_server_ts":1000,)"
        R"("sender":"@alice:hs","type":"m.room.message","room_id":"!r:hs","unsigned":{"age":250}})");
}

TEST_CASE("the transaction id is shown to the device that sent the event and to no other") {
  auto e = make_event({});
  e->device = "@alice:hs|PHONE";
  e->txn_id = "m\"1";
  CHECK(shown(*e, {.device = "@alice:hs|PHONE"}).ends_with(R"("unsigned":{"age":0,"transaction_id":"m\"1"}})"));
  CHECK(shown(*e, {.device = "@alice:hs|LAPTOP"}).ends_with(R"("unsigned":{"age":0}})"));
  CHECK(shown(*e).ends_with(R"("unsigned":{"age":0}})"));
}

TEST_CASE("state shows its key, what was before and who had set it") {
  auto e = make_event({.type = "m.room.name", .state_key = "", .content = R"({"name":"B"})"});
  e->prev_content = R"({"name":"A"})";
  e->prev_sender = "@bob:hs";
  e->replaces_state = "$before";
  CHECK(shown(*e, {.bundle = R"({"m.thread":{}})", .membership = "join"}) ==
        R"({"content":{"name":"B"},"event_id":"$event","origin_server_ts":1000,"sender":"@alice:hs","state_key":"",)"
        R"("type":"m.room.name","unsigned":{"age":0,"membership":"join","prev_content":{"name":"A"},)"
        R"("prev_sender":"@bob:hs","replaces_state":"$before","m.relations":{"m.thread":{}}}})");
}

TEST_CASE("a redaction shows its target at the top level too, a redacted event its redaction") {
  auto redaction = make_event({.type = "m.room.redaction", .content = R"({"redacts":"$gone"})", .event_id = "$why"});
  redaction->redacts = "$gone";
  redaction->finish(R"({"redacts":"$gone"})");
  CHECK(redaction->client.find(R"(,"redacts":"$gone","sender")") != std::string::npos);

  auto gone = make_event({.event_id = "$gone"});
  gone->redacted_by = "$why";
  gone->redaction_json = shown(*redaction);
  const auto text = shown(*gone);
  CHECK(text.find(R"("redacted_by":"$why","redacted_because":{"content":{"redacts":"$gone"})") != std::string::npos);
}

TEST_CASE("stripped state has four members") {
  std::string out;
  append_stripped_event(out, *make_event({.type = "m.room.name", .state_key = "", .content = R"({"name":"A"})"}));
  CHECK(out == R"({"content":{"name":"A"},"sender":"@alice:hs","state_key":"","type":"m.room.name"})");
}

TEST_CASE("only a whole relation counts as one") {
  struct Row {
    const char* content;
    const char* rel_type;
  };
  for (const auto& r : {
           Row{R"({"m.relates_to":{"event_id":"$p","rel_type":"m.thread"}})", "m.thread"},
           Row{R"({"m.relates_to":{"event_id":"$p","key":"x","rel_type":"m.annotation"}})", "m.annotation"},
           Row{R"({"m.relates_to":{"m.in_reply_to":{"event_id":"$p"}}})", nullptr},
           Row{R"({"m.relates_to":{"event_id":"$p"}})", nullptr},
           Row{R"({"m.relates_to":{"event_id":5,"rel_type":"m.thread"}})", nullptr},
           Row{R"({"m.relates_to":"$p"})", nullptr},
           Row{R"({"body":"\"m.relates_to\""})", nullptr},
       }) {
    CAPTURE(r.content);
    const auto e = make_event({.content = r.content});
    REQUIRE(e->relation.has_value() == (r.rel_type != nullptr));
    if (!e->relation) continue;
    CHECK(e->relation->rel_type == r.rel_type);
    CHECK(e->relation->event_id == "$p");
  }
}

TEST_CASE("membership is a member event's and survives wrong types") {
  CHECK(messenger::room_test::make_member(1, "@a:hs", "join")->membership() == "join");
  CHECK(make_event({.type = "m.room.member", .state_key = "@a:hs", .content = R"({"membership":5})"})
            ->membership()
            .empty());
  CHECK(make_event({.type = "m.room.name", .state_key = "", .content = R"({"membership":"join"})"})
            ->membership()
            .empty());
}

TEST_CASE("what only the server knows survives being stored") {
  auto e = make_event({.type = "m.room.name", .state_key = "", .content = R"({"name":"해치"})"});
  e->device = "@alice:hs|\"D\"";
  e->txn_id = "t/1";
  e->joined_members = 7;
  e->sender_may_notify_room = true;
  e->prev_content = R"({"name":"A"})";
  e->prev_sender = "@bob:hs";
  e->replaces_state = "$before";
  constexpr std::string_view kPdu =
      R"({"auth_events":[],"content":{"name":"해치"},"depth":9,"hashes":{},"origin_server_ts":1000,"prev_events":[],)"
      R"("sender":"@alice:hs","state_key":"","type":"m.room.name"})";
  const auto back = event_from_row(kPdu, "$event", extra_of(*e), "");
  CHECK(back->client == e->client);
  CHECK(back->depth == 9);
  CHECK(back->device == e->device);
  CHECK(back->txn_id == e->txn_id);
  CHECK(back->joined_members == 7);
  CHECK(back->sender_may_notify_room);
  CHECK(back->prev_content == e->prev_content);
  CHECK(back->prev_sender == e->prev_sender);
  CHECK(back->replaces_state == e->replaces_state);
  CHECK(extra_of(*back) == extra_of(*e));

  // Redacted, it keeps its place in the history of its key, but not what was before.
  const auto gone = event_from_row(kPdu, "$event", extra_of(*e), "5 $why");
  CHECK(gone->prev_content.empty());
  CHECK(gone->prev_sender.empty());
  CHECK(gone->replaces_state == "$before");
  CHECK(gone->txn_id == "t/1");
}

TEST_CASE("the redacted event is found in the content or beside it") {
  for (const char* pdu : {R"({"content":{"redacts":"$t"},"sender":"@a:hs","type":"m.room.redaction"})",
                          R"({"content":{},"redacts":"$t","sender":"@a:hs","type":"m.room.redaction"})"}) {
    CHECK(event_from_row(pdu, "$e", "", "")->redacts == "$t");
  }
  CHECK(event_from_row(R"({"content":{"redacts":"$t"},"sender":"@a:hs","type":"m.room.message"})", "$e", "", "")
            ->redacts.empty());
}

TEST_CASE("a damaged row is an error and not an event") {
  for (const char* pdu : {"", "{", "[]", "{\"content\":\"\xff\"}"}) CHECK_THROWS(event_from_row(pdu, "$e", "", ""));
  CHECK_THROWS(event_from_row("{}", "$e", "[", ""));
}
