// Followers on a node that did not write: they have what the feed and the other nodes say, no more.

#include "messenger/room/tests/elsewhere.hpp"
#include "messenger/directory/directory.hpp"
#include "messenger/ephemeral/presence.hpp"
#include "messenger/ephemeral/receipts.hpp"
#include "messenger/ephemeral/typing.hpp"
#include "messenger/push/pushers.hpp"

using namespace haechi;
using namespace haechi::messenger;
using namespace haechi::messenger::room_test;

namespace {

/// The second node: Alice is in touch with it, Bob is not.
struct There {
  explicit There(Node& node) : second(node) {
    REQUIRE(directory.start(*node.db));
    receipts.start();
    typing.start();
    REQUIRE(presence.start(*node.db));
    REQUIRE(pushers.start(*node.db));
    users.start(second.journal);
    auto got = node.loop.run(users.get("@alice:hs"));
    REQUIRE(got);
    alice = *got;
    room = second.room();
  }
  Elsewhere second;
  Users users{second.first.loop, *second.first.readers, second.rooms};
  Receipts receipts{second.rooms, users, second.journal};
  Typing typing{second.first.loop, second.rooms, users, second.journal};
  Presence presence{second.first.loop, second.rooms, users, second.journal, Presence::Switch::On};
  Directory directory{second.rooms, second.writer, *second.first.readers, second.journal, second.first.clock, "hs"};
  Pushers pushers{second.journal};
  UserPtr alice;
  RoomPtr room;
};

std::string of(const Presence& presence, std::string_view user) {
  return std::string(get_string(presence.of(user), "presence").value_or(""));
}

}  // namespace

TEST_CASE("typing is heard of from another node, and ends there or by itself") {
  TempDir dir;
  Node node(dir.file("db"));
  const auto num = node.create()->num;
  There t(node);
  t.second.journal.hear("typing", "[[" + std::to_string(num) + R"(,"@bob:hs",30000],[99,"@x:hs",1],["bad"],7])");
  CHECK(t.room->typing.until.contains("@bob:hs"));
  CHECK(t.alice->ephemeral_stamp == t.room->typing.stamp);
  t.second.journal.hear("typing", "[[" + std::to_string(num) + R"(,"@bob:hs",0]])");
  CHECK(t.room->typing.until.empty());
  t.second.journal.hear("typing", "[[" + std::to_string(num) + R"(,"@bob:hs",1000000]])");
  t.second.journal.hear("typing", "nonsense");
  node.loop.advance(121s);
  CHECK(t.room->typing.until.empty());
  CHECK(t.second.journal.said.empty());

  t.typing.begin(t.room, "@alice:hs", 5s);
  t.typing.begin(t.room, "@alice:hs", 7s);
  node.loop.advance(1s);
  REQUIRE(t.second.journal.said.size() == 1);
  CHECK(t.second.journal.said[0].first == "typing");
  CHECK(t.second.journal.said[0].second == "[[" + std::to_string(num) + R"(,"@alice:hs",7000]])");
}

TEST_CASE("a user is as present as where they are most, and not for ever where nobody is heard") {
  TempDir dir;
  Node node(dir.file("db"));
  const auto room = node.create();
  node.member(room, "@bob:hs", "join");
  There t(node);
  const auto said = [&](std::string_view from, std::string_view is) {
    t.second.journal.hear(
        "presence",
        to_text(json::array{json::object{
            {"node", from}, {"user", "@bob:hs"}, {"is", is}, {"ago", 10}, {"rooms", json::array{room->num}}}}));
    node.loop.advance(2s);
  };
  said("first", "online");
  CHECK(of(t.presence, "@bob:hs") == "online");
  CHECK(t.alice->ephemeral_stamp > 0);
  REQUIRE(t.presence.changed(*t.alice, 0).size() == 1);  // although Bob is not in memory here
  said("third", "unavailable");
  CHECK(of(t.presence, "@bob:hs") == "online");
  said("first", "offline");
  CHECK(of(t.presence, "@bob:hs") == "unavailable");
  said("first", "online");
  node.loop.advance(200s);
  CHECK(of(t.presence, "@bob:hs") == "offline");
  CHECK(t.second.journal.said.empty());

  t.presence.seen("@alice:hs", "");
  node.loop.advance(2s);
  REQUIRE(t.second.journal.said.size() == 1);
  CHECK(t.second.journal.said[0].second.contains("\"online\""));
}

TEST_CASE("receipts, pushers and the directory are followed from the feed alone") {
  TempDir dir;
  Node node(dir.file("db"));
  const auto here = node.create();
  Users users(node.loop, *node.readers, *node.rooms);
  Receipts receipts(*node.rooms, users, *node.journal);
  Pushers pushers(*node.journal);
  const auto e = node.say(here, "x");
  There t(node);
  std::vector<ReceiptMove> moves;
  moves.push_back({"m.read", "", e});
  REQUIRE(node.loop.run(receipts.move(here, "@bob:hs", std::move(moves))));
  const Pusher p{.user_id = "@bob:hs",
                 .app_id = "app",
                 .pushkey = "key",
                 .device_id = "D",
                 .kind = "http",
                 .data = {{"url", "https://x/_matrix/push/v1/notify"}}};
  REQUIRE(node.loop.run(pushers.set(p, Pushers::Others::Keep)));
  REQUIRE(node.loop.run(node.journal->submit([&](journal::Tx& tx) -> Result<> {
    Directory::set_published(tx, here->num, here->id, true);
    return {};
  })));
  t.second.journal.follow();
  CHECK(t.room->receipts.at("@bob:hs").at({"m.read", ""}).event_id == e->event_id);
  CHECK(t.room->last_receipt_pos > e->pos);
  REQUIRE(t.pushers.of("@bob:hs"));
  CHECK(t.pushers.of("@bob:hs")->begin()->second.url() == "https://x/_matrix/push/v1/notify");
  CHECK(t.directory.published(here->num));
}
