#include "messenger/room/room.hpp"

#include <doctest/doctest.h>

#include "messenger/room/tests/make_event.hpp"

using namespace haechi;
using namespace haechi::messenger;
using messenger::room_test::make_event;
using messenger::room_test::make_member;

namespace {

struct Fixture {
  Room room{1, "!r:hs", kRoomVersion11};

  std::shared_ptr<Event> fly(std::shared_ptr<Event> e) {
    room.take_off(e);
    return e;
  }
  void commit(std::shared_ptr<Event> e) {
    room.take_off(e);
    room.land(e);
  }
};

std::shared_ptr<Event> name(Position pos, std::string text) {
  return make_event({.pos = pos,
                     .type = "m.room.name",
                     .state_key = "",
                     .content = "{\"name\":\"" + text + "\"}",
                     .event_id = "$name" + std::to_string(pos)});
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "what flies is the head and not yet what is shown") {
  const auto a = fly(name(1, "A"));
  CHECK(room.has_flight());
  CHECK(room.state("m.room.name") == nullptr);
  CHECK(room.head_state("m.room.name") == a);
  CHECK(room.head_event_id() == "$name1");
  CHECK(room.timeline().empty());
  CHECK(room.last_pos() == 0);

  const auto b = fly(name(2, "B"));
  CHECK(room.head_state("m.room.name") == b);
  CHECK(room.head_depth() == 2);
  room.land(a);
  CHECK(room.state("m.room.name") == a.get());
  CHECK(room.head_state("m.room.name") == b);
  CHECK(room.last_pos() == 1);
  room.land(b);
  CHECK_FALSE(room.has_flight());
  CHECK(room.state_ptr("m.room.name") == b);
  CHECK(room.head_event_id() == "$name2");
  CHECK(room.last_state_pos() == 2);
  CHECK(room.timeline().size() == 2);
  CHECK(room.timeline_from() == 1);
}

TEST_CASE_FIXTURE(Fixture, "after a crash the head is what is committed") {
  commit(name(1, "A"));
  const auto b = fly(name(2, "B"));
  const auto message = fly(make_event({.pos = 3}));
  room.crash(b);
  CHECK(room.head_state("m.room.name")->event_id == "$name1");
  room.crash(message);
  CHECK_FALSE(room.has_flight());
  CHECK(room.head_event_id() == "$name1");
  CHECK(room.head_depth() == 1);
  CHECK(room.timeline().size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "joined and invited members are counted by what they were before") {
  struct Row {
    const char* user;
    const char* membership;
    std::size_t joined, invited;
  };
  Position pos = 0;
  for (const auto& r : {Row{"@a:hs", "join", 1, 0}, Row{"@b:hs", "invite", 1, 1}, Row{"@b:hs", "join", 2, 0},
                        Row{"@a:hs", "join", 2, 0}, Row{"@b:hs", "ban", 1, 0}, Row{"@b:hs", "leave", 1, 0},
                        Row{"@c:hs", "knock", 1, 0}, Row{"@c:hs", "invite", 1, 1}, Row{"@c:hs", "leave", 1, 0},
                        Row{"@a:hs", "leave", 0, 0}, Row{"@d:hs", "nonsense", 0, 0}}) {
    CAPTURE(r.user);
    CAPTURE(r.membership);
    const auto e = fly(make_member(++pos, r.user, r.membership));
    CHECK(room.head_joined_count() == r.joined);
    CHECK(room.head_membership(r.user) == membership_of(r.membership));
    room.land(e);
    CHECK(room.joined_count() == r.joined);
    CHECK(room.invited_count() == r.invited);
    CHECK(room.head_joined_count() == r.joined);
  }
  CHECK(room.members().size() == 4);
  CHECK(room.membership("@nobody:hs") == Membership::None);
}

TEST_CASE_FIXTURE(Fixture, "the head counts a member who comes and goes within one flight") {
  commit(make_member(1, "@a:hs", "join"));
  fly(make_member(2, "@b:hs", "join"));
  fly(make_member(3, "@b:hs", "leave"));
  fly(make_member(4, "@a:hs", "join"));
  fly(make_member(5, "@c:hs", "join"));
  CHECK(room.head_joined_count() == 2);
  CHECK(room.joined_count() == 1);
}

TEST_CASE_FIXTURE(Fixture, "a redacted event takes the old one's place wherever it was held") {
  commit(make_member(1, "@a:hs", "join"));
  commit(name(2, "A"));
  commit(make_event({.pos = 3, .event_id = "$message"}));
  commit(name(4, "B"));

  const auto message = make_event({.pos = 3, .event_id = "$message"});
  room.replace(message);
  CHECK(room.timeline()[2] == message);

  const auto old_name = name(2, "");
  room.replace(old_name);
  CHECK(room.timeline()[1] == old_name);
  CHECK(room.state("m.room.name")->event_id == "$name4");

  const auto member = make_member(1, "@a:hs", "join");
  room.replace(member);
  CHECK(room.state_ptr("m.room.member", "@a:hs") == member);
  CHECK(room.joined_count() == 1);
  CHECK(room.last_state_pos() == 4);

  // Of another time, or never here: nothing happens.
  room.replace(make_event({.pos = 99}));
  room.replace(make_event({.pos = 99, .type = "m.room.topic", .state_key = ""}));
  CHECK(room.state("m.room.topic") == nullptr);
  CHECK(room.timeline().size() == 4);
}

TEST_CASE_FIXTURE(Fixture, "memory keeps the newest events and knows from where on it has all") {
  for (Position pos = 1; pos <= 500; ++pos)
    commit(make_event({.pos = pos * 10, .event_id = "$" + std::to_string(pos)}));
  CHECK(room.timeline().size() == Room::kTimelineMax);
  CHECK(room.timeline().front()->pos == 3010);
  CHECK(room.timeline_from() == 3001);
  CHECK(room.last_pos() == 5000);
}

TEST_CASE_FIXTURE(Fixture, "an event that has not flown here lands all the same") {
  room.land(name(7, "A"));
  CHECK(room.state("m.room.name") != nullptr);
  CHECK(room.timeline_from() == 7);
}

TEST_CASE_FIXTURE(Fixture, "a loaded room goes on where it was") {
  room.load_state({make_member(1, "@a:hs", "join"), name(5, "A")});
  room.load_timeline({name(5, "A"), make_event({.pos = 9, .event_id = "$last"})}, 5);
  CHECK(room.joined_count() == 1);
  CHECK(room.last_pos() == 9);
  CHECK(room.last_state_pos() == 5);
  CHECK(room.head_event_id() == "$last");
  CHECK(room.head_depth() == 9);
  CHECK(room.timeline_from() == 5);
}
