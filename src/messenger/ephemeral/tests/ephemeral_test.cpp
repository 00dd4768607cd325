#include <doctest/doctest.h>

#include "messenger/ephemeral/presence.hpp"
#include "messenger/ephemeral/receipts.hpp"
#include "messenger/ephemeral/typing.hpp"
#include "messenger/room/tests/fixture.hpp"

using namespace haechi;
using namespace haechi::messenger;
using namespace haechi::messenger::room_test;

namespace {

/// Alice and Bob share a room; Carol is elsewhere.
struct People {
  explicit People(const std::string& path) : node(path) {
    receipts.start();
    typing.start();
    REQUIRE(presence.start(*node.db));
    users.start(*node.journal);
    room = node.create();
    node.member(room, "@bob:hs", "join");
    alice = get("@alice:hs");
    bob = get("@bob:hs");
    carol = get("@carol:hs");
  }
  UserPtr get(std::string id) {
    auto user = node.loop.run(users.get(std::move(id)));
    REQUIRE(user);
    return *user;
  }

  Node node;
  Users users{node.loop, *node.readers, *node.rooms};
  Receipts receipts{*node.rooms, users, *node.journal};
  Typing typing{node.loop, *node.rooms, users, *node.journal};
  Presence presence{node.loop, *node.rooms, users, *node.journal, Presence::Switch::On};
  RoomPtr room;
  UserPtr alice, bob, carol;
};

/// How often the user would have been told of something, after `f`.
template <class F>
bool told(const UserState& user, F f) {
  const auto before = user.ephemeral_stamp;
  f();
  return user.ephemeral_stamp > before;
}

}  // namespace

TEST_CASE("typing is told once, ends by itself and with the stay in the room") {
  TempDir dir;
  People p(dir.file("a.db"));
  CHECK(told(*p.bob, [&] { p.typing.begin(p.room, "@alice:hs", 10s); }));
  CHECK(p.carol->ephemeral_stamp == 0);
  CHECK_FALSE(told(*p.bob, [&] { p.typing.begin(p.room, "@alice:hs", 20s); }));
  CHECK_FALSE(told(*p.bob, [&] { p.node.loop.advance(19s); }));
  CHECK(told(*p.bob, [&] { p.node.loop.advance(2s); }));
  CHECK(p.room->typing.until.empty());
  CHECK_FALSE(told(*p.bob, [&] { p.typing.end(*p.room, "@alice:hs"); }));

  p.typing.begin(p.room, "@bob:hs", 60s);
  CHECK(told(*p.alice, [&] { p.node.member(p.room, "@bob:hs", "leave"); }));
  CHECK(p.room->typing.until.empty());
}

TEST_CASE("a sync that changes nothing tells nobody, and changes are told together") {
  TempDir dir;
  People p(dir.file("a.db"));
  CHECK(told(*p.alice, [&] {
    p.presence.seen("@bob:hs", "");
    p.node.loop.run_ready();
  }));
  const auto first = p.presence.changed(*p.alice, 0);
  REQUIRE(first.size() == 1);
  CHECK(first[0].find("\"presence\":\"online\"") != std::string::npos);
  CHECK(p.presence.changed(*p.carol, 0).empty());

  CHECK_FALSE(told(*p.alice, [&] {
    for (int n = 0; n < 5; ++n) {
      p.presence.seen("@bob:hs", n % 2 ? "online" : "");
      p.presence.seen("@bob:hs", "unavailable");  // another device says less
      p.node.loop.advance(2s);
    }
  }));

  // Within a second of the last telling: it waits.
  p.presence.seen("@alice:hs", "");
  p.node.loop.run_ready();
  p.presence.seen("@carol:hs", "");
  CHECK(p.presence.changed(*p.carol, 0).empty());
  p.node.loop.advance(1s);
  CHECK(p.presence.changed(*p.carol, 0).size() == 1);
}

TEST_CASE("who does not sync any more is offline, who waits in a long poll is not") {
  TempDir dir;
  People p(dir.file("a.db"));
  p.presence.seen("@bob:hs", "");
  {
    UserState::Parked parked(*p.bob);
    p.node.loop.advance(120s);
    CHECK(get_string(p.presence.of("@bob:hs"), "presence") == "online");
  }
  const auto stamp = p.users.last_stamp();
  p.node.loop.advance(40s);
  CHECK(get_string(p.presence.of("@bob:hs"), "presence") == "offline");
  CHECK(p.presence.changed(*p.alice, stamp).size() == 1);
  CHECK(p.presence.changed(*p.alice, 0).empty());  // a first sync leaves out who is not there
}

TEST_CASE("what was said of oneself outlives the node") {
  TempDir dir;
  {
    People p(dir.file("a.db"));
    CHECK(told(*p.alice,
               [&] { REQUIRE(p.node.loop.run(p.presence.set("@bob:hs", PresenceState::Unavailable, "tea"))); }));
    CHECK(p.presence.of("@bob:hs").at("presence") == "unavailable");
  }
  Node again(dir.file("a.db"));
  Users users(again.loop, *again.readers, *again.rooms);
  Presence presence(again.loop, *again.rooms, users, *again.journal, Presence::Switch::On);
  REQUIRE(presence.start(*again.db));
  const auto content = presence.of("@bob:hs");
  CHECK(content.at("presence") == "offline");
  CHECK(content.at("status_msg") == "tea");
}

TEST_CASE("presence that is switched off says nothing") {
  TempDir dir;
  Node node(dir.file("a.db"));
  Users users(node.loop, *node.readers, *node.rooms);
  Presence off(node.loop, *node.rooms, users, *node.journal, Presence::Switch::Off);
  REQUIRE(off.start(*node.db));
  off.seen("@bob:hs", "");
  CHECK(node.loop.run(off.set("@bob:hs", PresenceState::Online, "here")));
  CHECK(off.of("@bob:hs") == json::object{{"presence", "offline"}});
}

TEST_CASE("receipts move forward only and are found again") {
  TempDir dir;
  const auto receipt = [](const Room& room, std::string thread) {
    return room.receipts.at("@bob:hs").at({"m.read", std::move(thread)});
  };
  std::string newest;
  {
    People p(dir.file("a.db"));
    const auto one = p.node.say(p.room, "one");
    const auto two = p.node.say(p.room, "two");
    newest = two->event_id;
    const auto move = [&](EventPtr event, std::string thread) {
      std::vector<ReceiptMove> moves;
      moves.push_back({"m.read", std::move(thread), std::move(event)});
      REQUIRE(p.node.loop.run(p.receipts.move(p.room, "@bob:hs", std::move(moves))));
    };
    move(two, "");
    const auto pos = p.node.journal->position();
    CHECK(p.room->last_receipt_pos == pos);
    move(one, "");
    CHECK(p.node.journal->position() == pos);
    CHECK(receipt(*p.room, "").event_id == two->event_id);
    move(one, "main");
    CHECK(receipt(*p.room, "main").event_id == one->event_id);
    CHECK(p.room->last_receipt_pos == pos + 1);
  }
  Node again(dir.file("a.db"));
  const auto room = again.loop.run(again.rooms->get("!room:hs"));
  REQUIRE(room);
  CHECK(receipt(**room, "").event_id == newest);
  CHECK((*room)->last_receipt_pos == receipt(**room, "main").pos);
}
