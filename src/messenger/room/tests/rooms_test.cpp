#include "messenger/room/rooms.hpp"

#include <algorithm>

#include "messenger/errc.hpp"
#include "messenger/room/tests/fixture.hpp"

using namespace haechi;
using namespace haechi::messenger;
using namespace haechi::messenger::room_test;

namespace {

std::vector<Position> positions(const std::vector<EventPtr>& events) {
  std::vector<Position> out;
  for (const auto& e : events) out.push_back(e->pos);
  return out;
}

/// What range() must answer, from the list of all positions.
std::vector<Position> expected(const std::vector<Position>& all, Position from, Position to, std::size_t limit,
                               Direction dir) {
  std::vector<Position> out;
  for (const auto p : all) {
    if (p >= from && p < to) out.push_back(p);
  }
  if (dir == Direction::Backward) std::ranges::reverse(out);
  if (out.size() > limit) out.resize(limit);
  return out;
}

void check_ranges(Node& node, const RoomPtr& room, const std::vector<Position>& all) {
  const Position last = all.back();
  for (const Position from : {Position{0}, Position{1}, last / 3, last / 2, last - 20, last, last + 1}) {
    for (const Position to : {Position{1}, last / 3 + 7, last / 2 + 1, last - 10, last, last + 1, last + 100}) {
      for (const std::size_t limit :
           {std::size_t{0}, std::size_t{1}, std::size_t{10}, std::size_t{150}, std::size_t{5000}}) {
        for (const auto dir : {Direction::Backward, Direction::Forward}) {
          const auto got = node.loop.run(node.rooms->range(room, from, to, limit, dir));
          REQUIRE(got);
          if (positions(*got) == expected(all, from, to, limit, dir)) continue;
          CAPTURE(from);
          CAPTURE(to);
          CAPTURE(limit);
          CAPTURE((dir == Direction::Backward));
          CHECK(positions(*got) == expected(all, from, to, limit, dir));
        }
      }
    }
  }
}

}  // namespace

TEST_CASE("a range is whole wherever memory, the late index and its table meet") {
  constexpr std::size_t kSegment = 64;
  TempDir dir;
  std::vector<Position> all;
  std::vector<std::string> ids;
  {
    Node node(dir.file("db"), kSegment);
    const auto room = node.create();
    const auto other = node.create(kRoomVersion11, "!other:hs");
    for (const auto& e : room->timeline()) {
      all.push_back(e->pos);
      ids.push_back(e->event_id);
    }
    for (int i = 0; i < 450; ++i) {
      const auto e = node.say(room, std::to_string(i));
      all.push_back(e->pos);
      ids.push_back(e->event_id);
      if (i % 3 == 0) node.say(other, "elsewhere");
      if (i == 100 || i == 199 || i == 201) check_ranges(node, room, all);
    }
    REQUIRE(room->timeline_from() > 1);
    check_ranges(node, room, all);
  }
  Node node(dir.file("db"), kSegment);
  const auto room = node.loop.run(node.rooms->get("!room:hs"));
  REQUIRE(room);
  CHECK((*room)->timeline().size() == 30);
  check_ranges(node, *room, all);
  for (std::size_t i = 0; i < all.size(); i += 17) {
    const auto found = node.loop.run(node.rooms->event_anywhere(ids[i]));
    REQUIRE(found);
    CHECK(found->second->pos == all[i]);
    CHECK(found->first == *room);
  }
}

TEST_CASE("an event is found in its own room only") {
  TempDir dir;
  Node node(dir.file("db"));
  const auto room = node.create();
  const auto other = node.create(kRoomVersion11, "!other:hs");
  const auto e = node.say(room, "x");
  CHECK(node.loop.run(node.rooms->event(room, e->event_id)).value() == e);
  CHECK(node.loop.run(node.rooms->event(other, e->event_id)).error().is(messenger::Errc::NotFound));
  CHECK(node.loop.run(node.rooms->event(room, "$nonsense")).error().is(messenger::Errc::NotFound));
  CHECK(node.loop.run(node.rooms->event(room, "")).error().is(messenger::Errc::NotFound));
  CHECK(node.loop.run(node.rooms->get("!nowhere:hs")).error().is(messenger::Errc::NotFound));
}

TEST_CASE("state is known as it was at every position, from memory and from the tables") {
  TempDir dir;
  Node node(dir.file("db"));
  auto room = node.create();
  const auto a = node.set(room, "m.room.name", {{"name", "A"}});
  node.say(room, "between");
  const auto topic = node.set(room, "m.room.topic", {{"topic", "T"}});
  const auto b = node.set(room, "m.room.name", {{"name", "B"}});
  const auto last = node.say(room, "end");
  const auto check = [&] {
    const auto at = [&](Position pos) {
      auto e = node.loop.run(node.rooms->state_event_at(room, "m.room.name", "", pos));
      REQUIRE(e);
      return *e ? (*e)->event_id : std::string();
    };
    CHECK(at(a->pos - 1).empty());
    CHECK(at(a->pos) == a->event_id);
    CHECK(at(b->pos - 1) == a->event_id);
    CHECK(at(b->pos) == b->event_id);
    const auto count = [&](Position pos) { return node.loop.run(node.rooms->state_at(room, pos)).value().size(); };
    CHECK(count(0) == 0);
    CHECK(count(4) == 4);
    CHECK(count(a->pos) == 5);
    CHECK(count(topic->pos) == 6);
    CHECK(count(last->pos) == 6);
    const auto between = [&](Position after, Position upto) {
      auto p = positions(node.loop.run(node.rooms->state_between(room, after, upto)).value());
      std::ranges::sort(p);
      return p;
    };
    CHECK(between(4, last->pos) == std::vector<Position>{topic->pos, b->pos});
    CHECK(between(4, topic->pos) == std::vector<Position>{a->pos, topic->pos});
    CHECK(between(a->pos, topic->pos) == std::vector<Position>{topic->pos});
    CHECK(between(b->pos, last->pos).empty());
    CHECK(between(last->pos, 4).empty());
    CHECK(positions(node.loop.run(node.rooms->state_history(room, "m.room.name", "")).value()) ==
          std::vector<Position>{a->pos, b->pos});
  };
  check();
  for (int i = 0; i < 250; ++i) node.say(room, "far away");
  REQUIRE(room->timeline_from() > b->pos);
  check();
}

TEST_CASE("observers hear of every event once, in order, when the room is true") {
  struct Heard final : RoomObserver {
    void on_event(Room& room, const EventPtr& e) override {
      CHECK(room.last_pos() == e->pos);
      at.push_back(e->pos);
    }
    void on_redacted(Room&, const EventPtr& e) override { redacted.push_back(e->pos); }
    std::vector<Position> at, redacted;
  } heard;
  TempDir dir;
  Node node(dir.file("db"));
  node.rooms->observe(heard);
  const auto room = node.create();
  const auto e = node.say(room, "x");
  node.redact(room, e);
  CHECK(heard.at == std::vector<Position>{1, 2, 3, 4, 5, 6});
  CHECK(heard.redacted == std::vector<Position>{5});
}

TEST_CASE("a room asked for twice at once is one room") {
  TempDir dir;
  {
    Node node(dir.file("db"));
    node.create();
  }
  Node node(dir.file("db"));
  std::vector<RoomPtr> got;
  const auto ask = [](Rooms& rooms, std::vector<RoomPtr>& out) -> Task<void> {
    if (auto room = co_await rooms.get("!room:hs")) out.push_back(*room);
  };
  Scope scope;
  for (int i = 0; i < 3; ++i) scope.spawn(ask(*node.rooms, got));
  node.loop.run_until([&] { return scope.running() == 0; });
  REQUIRE(got.size() == 3);
  CHECK(got[0] == got[1]);
  CHECK(got[1] == got[2]);
  CHECK(node.rooms->in_memory() == 1);
  // The order asked for; what does not exist is left out.
  const auto all = node.loop.run(node.rooms->get_all({99, got[0]->num}));
  CHECK(all->size() == 1);
}
