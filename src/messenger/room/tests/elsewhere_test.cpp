// What another node writes, as this one follows it.

#include "messenger/room/tests/elsewhere.hpp"

#include "messenger/errc.hpp"
#include "messenger/user/users.hpp"

using namespace haechi;
using namespace haechi::messenger;
using namespace haechi::messenger::room_test;

namespace {

std::string shown(const Event& e) {
  std::string out;
  append_client_event(out, e, {.device = e.device, .with_room_id = true, .room_id = "!room:hs", .now = e.ts});
  return out;
}

/// Everything that others ask a room for.
void check_alike(const Room& a, const Room& b) {
  CHECK(a.last_pos() == b.last_pos());
  CHECK(a.last_state_pos() == b.last_state_pos());
  CHECK(a.joined_count() == b.joined_count());
  CHECK(a.invited_count() == b.invited_count());
  CHECK(a.head_event_id() == b.head_event_id());
  CHECK(a.head_depth() == b.head_depth());
  auto left = a.timeline().rbegin();
  auto right = b.timeline().rbegin();
  for (; left != a.timeline().rend() && right != b.timeline().rend(); ++left, ++right) {
    CHECK(shown(**left) == shown(**right));
    CHECK((*left)->joined_members == (*right)->joined_members);
    CHECK((*left)->sender_may_notify_room == (*right)->sender_may_notify_room);
    CHECK((*left)->relation.has_value() == (*right)->relation.has_value());
    CHECK(a.parents.contains((*left)->event_id) == b.parents.contains((*left)->event_id));
  }
  for (const auto& [type, by_key] : a.state()) {
    for (const auto& [key, e] : by_key) {
      REQUIRE(b.state(type, key));
      CHECK(shown(*b.state(type, key)) == shown(*e));
    }
  }
}

struct Heard final : RoomObserver {
  void on_event(Room& room, const EventPtr& e) override {
    CHECK(room.last_pos() >= e->pos);
    events.push_back(e->pos);
  }
  void on_own_event(Room&, const EventPtr& e) override { own.push_back(e->pos); }
  void on_redacted(Room&, const EventPtr& e) override { redacted.push_back(e->pos); }
  void on_unseen(const Unseen& u) override { unseen.push_back(u); }
  std::vector<Position> events, own, redacted;
  std::vector<Unseen> unseen;
};

}  // namespace

TEST_CASE("a room in memory becomes what it is on the node that wrote") {
  TempDir dir;
  Node node(dir.file("db"));
  const auto here = node.create();
  Elsewhere second(node);
  Heard heard;
  second.rooms.observe(heard);
  const auto there = second.room();
  check_alike(*here, *there);

  node.member(here, "@bob:hs", "join");
  const auto name = node.set(here, "m.room.name", {{"name", "A"}});
  node.set(here, "m.room.name", {{"name", "B"}});
  const auto said = node.say(here, "hello @room");
  node.send(here,
            {.sender = "@bob:hs",
             .type = "m.reaction",
             .content = {{"m.relates_to", {{"rel_type", "m.annotation"}, {"event_id", said->event_id}, {"key", "+"}}}},
             .device = "@bob:hs|D",
             .txn_id = "t1"});
  node.redact(here, name);
  node.redact(here, said);
  node.member(here, "@bob:hs", "leave");
  second.journal.follow();
  check_alike(*here, *there);
  CHECK(heard.redacted == std::vector<Position>{name->pos, said->pos});
  CHECK(heard.events.size() == 8);
  CHECK(heard.own.empty());
  CHECK(heard.unseen.empty());

  const auto state = node.set(here, "m.room.topic", {{"topic", "T"}});
  node.redact(here, state);
  second.journal.follow();
  check_alike(*here, *there);
  // The late indexes have them once.
  CHECK(second.rooms.by_room().find_recent(static_cast<std::uint64_t>(there->num)).size() == 14);
  CHECK(second.first.loop.run(second.rooms.event(there, said->event_id)).value()->pos == said->pos);
}

TEST_CASE("a room that is read while the feed lags behind it has everything once") {
  TempDir dir;
  Node node(dir.file("db"));
  const auto here = node.create();
  Elsewhere second(node);
  Heard heard;
  second.rooms.observe(heard);
  // Written, not followed yet: the room is read ahead of the feed.
  const auto bob = node.member(here, "@bob:hs", "join");
  node.say(here, "one");
  node.member(here, "@bob:hs", "leave");
  const auto there = second.room();
  check_alike(*here, *there);
  CHECK(there->loaded_upto == node.journal->position());
  second.journal.follow(bob->pos);
  check_alike(*here, *there);
  second.journal.follow();
  check_alike(*here, *there);
  CHECK(heard.events.size() == 3);  // told all the same: those who wait must wake
  node.say(here, "two");
  second.journal.follow();
  check_alike(*here, *there);
}

TEST_CASE("what comes while a room is read is not lost") {
  TempDir dir;
  Node node(dir.file("db"));
  const auto here = node.create();
  Elsewhere second(node);
  std::optional<Result<RoomPtr>> got;
  const auto get = [](Rooms& rooms, std::optional<Result<RoomPtr>>& out) -> Task<void> {
    out.emplace(co_await rooms.get("!room:hs"));
  };
  for (int i = 0; i < 20; ++i) {
    Scope scope;
    Elsewhere other(node);
    got.reset();
    scope.spawn(get(other.rooms, got));
    // Each time a little later in the read.
    while (!got) {
      node.say(here, "x");
      other.journal.follow();
      node.loop.run_ready();
    }
    REQUIRE(*got);
    other.journal.follow();
    check_alike(*here, ***got);
  }
}

TEST_CASE("an event of another node dooms what is in flight here") {
  TempDir dir;
  Node node(dir.file("db"));
  const auto here = node.create();
  Elsewhere second(node);
  const auto there = second.room();
  second.journal.refuse_as_stale = 2;
  const auto first = node.say(here, "quicker");
  const auto sent = node.loop.run(
      second.writer.send(there, {.sender = "@alice:hs", .type = "m.room.message", .content = {{"body", "slower"}}}));
  // Stale twice, decided anew on what the other one wrote, then the store fails.
  REQUIRE_FALSE(sent);
  CHECK(sent.error().is(journal::Errc::Failed));
  REQUIRE(second.journal.submitted.size() == 3);
  CHECK(second.journal.submitted[0].topic == there->num);
  CHECK(second.journal.submitted[0].at == first->pos - 1);
  CHECK(second.journal.submitted[1].at == first->pos);
  CHECK_FALSE(there->has_flight());
  check_alike(*here, *there);

  // Whose content was made from the head is asked again.
  second.journal.refuse_as_stale = 1;
  NewEvent derived{.sender = "@alice:hs", .type = "m.room.message", .content = {{"body", "x"}}};
  derived.made_from_head = true;
  const auto asked = node.loop.run(second.writer.send(there, std::move(derived)));
  REQUIRE_FALSE(asked);
  CHECK(asked.error().is(journal::Errc::Stale));

  // For ever stale: an end all the same.
  second.journal.refuse_as_stale = 1000;
  const auto never = node.loop.run(
      second.writer.send(there, {.sender = "@alice:hs", .type = "m.room.message", .content = {{"body", "x"}}}));
  REQUIRE_FALSE(never);
  CHECK(never.error().is(haechi::Errc::Unavailable));
}

TEST_CASE("who came in on another node a moment ago may write here") {
  TempDir dir;
  Node node(dir.file("db"));
  const auto here = node.create();
  Elsewhere second(node);
  const auto there = second.room();
  node.member(here, "@bob:hs", "join");
  const auto sent = node.loop.run(
      second.writer.send(there, {.sender = "@bob:hs", .type = "m.room.message", .content = {{"body", "x"}}}));
  REQUIRE_FALSE(sent);
  CHECK(sent.error().is(journal::Errc::Failed));  // the rules let it in
  CHECK(there->membership("@bob:hs") == Membership::Join);
}

TEST_CASE("a user in memory learns of rooms that are not") {
  TempDir dir;
  Node node(dir.file("db"));
  Elsewhere second(node);
  Users users(node.loop, *node.readers, second.rooms);
  users.start(second.journal);
  const auto bob = node.loop.run(users.get("@bob:hs"));
  REQUIRE(bob);

  const auto here = node.create();
  node.member(here, "@bob:hs", "invite", "@alice:hs");
  second.journal.follow();
  REQUIRE((*bob)->rooms.contains(here->num));
  CHECK((*bob)->rooms.at(here->num).membership == Membership::Invite);
  CHECK((*bob)->rooms.at(here->num).room_id == "!room:hs");
  CHECK((*bob)->last_pos == node.journal->position());
  CHECK_FALSE(second.rooms.find("!room:hs"));

  node.member(here, "@bob:hs", "join");
  second.journal.follow();
  node.say(here, "before the room is in memory");
  second.journal.follow();
  CHECK((*bob)->touched.back().pos == node.journal->position());
  node.loop.run(users.stop());
  const auto there = second.rooms.find("!room:hs");
  REQUIRE(there);
  CHECK((*bob)->rooms.at(here->num).room == there);
  CHECK(there->online == std::vector<UserState*>{bob->get()});
  node.say(here, "after");
  second.journal.follow();
  check_alike(*here, *there);
  CHECK((*bob)->touched.back().pos == node.journal->position());
  node.member(here, "@bob:hs", "leave");
  second.journal.follow();
  CHECK(there->online.empty());
  CHECK((*bob)->rooms.at(here->num).membership == Membership::Leave);
}
