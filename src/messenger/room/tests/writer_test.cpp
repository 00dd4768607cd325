#include "messenger/room/writer.hpp"

#include <algorithm>

#include "messenger/event/event_errc.hpp"
#include "messenger/room/tests/fixture.hpp"

using namespace haechi;
using namespace haechi::messenger;
using namespace haechi::messenger::room_test;

namespace {

std::string shown(const Event& e) {
  std::string out;
  append_client_event(out, e, {.device = e.device});
  return out + " pos " + std::to_string(e.pos) + " depth " + std::to_string(e.depth);
}

/// Everything of a room that anybody can be told.
std::vector<std::string> picture(const Room& room) {
  std::vector<std::string> out;
  for (const auto& [type, by_key] : room.state()) {
    for (const auto& [key, e] : by_key) out.push_back("state " + shown(*e));
  }
  std::ranges::sort(out);
  const auto& line = room.timeline();
  const auto skip = line.size() > 30 ? line.size() - 30 : 0;
  for (std::size_t i = skip; i < line.size(); ++i) out.push_back(shown(*line[i]));
  out.push_back("head " + room.head_event_id() + ' ' + std::to_string(room.head_depth()));
  out.push_back("last " + std::to_string(room.last_pos()) + ' ' + std::to_string(room.last_state_pos()));
  out.push_back("members " + std::to_string(room.joined_count()) + ' ' + std::to_string(room.invited_count()));
  return out;
}

}  // namespace

TEST_CASE("a room of every version begins with its create event and is the same after a restart") {
  for (const auto* version : room_versions()) {
    CAPTURE(version->id);
    TempDir dir;
    std::string id;
    std::vector<std::string> before;
    {
      Node node(dir.file("db"));
      const auto room = node.create(*version);
      id = room->id;
      CHECK(node.rooms->find(id) == room);
      REQUIRE(room->timeline().size() == 4);
      const auto& create = *room->timeline().front();
      CHECK(create.pos == 1);
      CHECK(create.depth == 1);
      if (version->room_id_is_hash) CHECK(id == '!' + create.event_id.substr(1));
      else CHECK(id == "!room:hs");
      CHECK(room->creator() == "@alice:hs");
      CHECK(room->joined_count() == 1);
      CHECK_FALSE(room->has_flight());

      node.member(room, "@bob:hs", "join");
      node.member(room, "@carol:hs", "invite", "@alice:hs");
      const auto first = node.say(room, "tab\t, quote \", delete \x7f, nul-ish \x01, 해치 🔥, </script>");
      node.say(room, "second", "@bob:hs");
      node.set(room, "m.room.name", {{"name", "A"}});
      const auto name = node.set(room, "m.room.name", {{"name", "B"}});
      auto sent = node.send(room, {.sender = "@bob:hs",
                                   .type = "m.room.message",
                                   .content = {{"body", "x"}},
                                   .device = "@bob:hs|PHONE",
                                   .txn_id = "t1"});
      REQUIRE(sent);
      node.redact(room, first);
      node.redact(room, *sent, "@bob:hs");
      node.redact(room, name);
      node.redact(room, room->state_ptr("m.room.member", "@bob:hs"));
      before = picture(*room);
    }
    Node node(dir.file("db"));
    CHECK(node.rooms->in_memory() == 0);
    const auto room = node.loop.run(node.rooms->get(id));
    REQUIRE(room);
    CHECK(picture(**room) == before);
    CHECK(node.say(*room, "goes on")->depth == (*room)->timeline()[(*room)->timeline().size() - 2]->depth + 1);
    // A new room gets a number of its own.
    CHECK(node.create(*version, "!other:hs")->num == (*room)->num + 1);
  }
}

TEST_CASE("rooms made alike at the same moment are different rooms") {
  TempDir dir;
  Node node(dir.file("db"));
  CHECK(node.create(kRoomVersion12)->id != node.create(kRoomVersion12)->id);
}

TEST_CASE("what the room's rules refuse leaves nothing behind") {
  TempDir dir;
  Node node(dir.file("db"));
  const auto room = node.create();
  const auto before = picture(*room);
  struct Row {
    const char* sender;
    const char* type;
    std::optional<std::string> key;
    json::object content;
  };
  const Row rows[] = {{"@eve:hs", "m.room.message", {}, {{"body", "x"}}},
                      {"@eve:hs", "m.room.name", "", {{"name", "x"}}},
                      {"@eve:hs", "m.room.member", "@alice:hs", {{"membership", "ban"}}},
                      {"@eve:hs", "m.room.member", "@eve:hs", {{"membership", "invite"}}},
                      {"@alice:hs", "m.room.create", "", {}}};
  for (const auto& r : rows) {
    CAPTURE(r.type);
    NewEvent event{.sender = r.sender, .type = r.type, .state_key = r.key, .content = r.content};
    CHECK_FALSE(node.writer->would_allow(*room, event));
    const auto sent = node.send(room, std::move(event));
    REQUIRE_FALSE(sent);
    CHECK(sent.error().is(EventErrc::Forbidden));
  }
  const auto float_body =
      node.send(room, {.sender = "@alice:hs", .type = "m.room.message", .content = {{"body", 1.5}}});
  CHECK(float_body.error().is(EventErrc::BadJson));
  const auto large = node.send(
      room, {.sender = "@alice:hs", .type = "m.room.message", .content = {{"body", std::string(70'000, 'x')}}});
  CHECK(large.error().is(EventErrc::TooLarge));
  CHECK_FALSE(room->has_flight());
  CHECK(picture(*room) == before);
  CHECK(node.journal->position() == 4);
}

TEST_CASE("all of several events or none") {
  TempDir dir;
  Node node(dir.file("db"));
  const auto room = node.create();
  const auto message = [](std::string sender) {
    return NewEvent{.sender = std::move(sender), .type = "m.room.message", .content = {{"body", "x"}}};
  };
  CHECK_FALSE(node.loop.run(node.writer->send_all(room, {message("@alice:hs"), message("@eve:hs")})));
  CHECK_FALSE(room->has_flight());
  CHECK(room->timeline().size() == 4);
  // The second is allowed by what the first does.
  const NewEvent join{
      .sender = "@eve:hs", .type = "m.room.member", .state_key = "@eve:hs", .content = {{"membership", "join"}}};
  const auto both = node.loop.run(node.writer->send_all(room, {join, message("@eve:hs")}));
  REQUIRE(both);
  CHECK(both->at(1)->pos == both->at(0)->pos + 1);
  // A refusal of the extra rows undoes the events.
  const auto refused = node.loop.run(node.writer->send_all(
      room, {message("@eve:hs")}, [](journal::Tx&) -> Result<> { return fail(haechi::Errc::Conflict, "taken"); }));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().is(haechi::Errc::Conflict));
  CHECK_FALSE(room->has_flight());
  CHECK(room->timeline().size() == 6);
}

TEST_CASE("a commit that fails leaves no flight, and the room goes on") {
  TempDir dir;
  Node node(dir.file("db"));
  const auto room = node.create();
  const auto before = picture(*room);
  node.store_broken = true;
  CHECK(node.send(room, {.sender = "@alice:hs", .type = "m.room.name", .state_key = "", .content = {{"name", "lost"}}})
            .error()
            .is(journal::Errc::Failed));
  CHECK(node.loop.run(node.writer->create_room(kRoomVersion11, "!lost:hs", Node::first_events(kRoomVersion11), nullptr))
            .error()
            .is(journal::Errc::Failed));
  CHECK_FALSE(room->has_flight());
  CHECK(picture(*room) == before);
  CHECK(node.rooms->find("!lost:hs") == nullptr);
  node.store_broken = false;
  const auto e = node.say(room, "kept");
  CHECK(e->pos == 5);
  CHECK(room->head_event_id() == e->event_id);
  CHECK(node.create(kRoomVersion11, "!lost:hs")->joined_count() == 1);
}

TEST_CASE("what was built on an event that was not committed is not committed either") {
  TempDir dir;
  Node node(dir.file("db"));
  const auto room = node.create();
  std::vector<bool> sent;
  const auto note = [](Writer& w, RoomPtr r, NewEvent e, std::vector<bool>& out) -> Task<void> {
    out.push_back((co_await w.send(std::move(r), std::move(e))).has_value());
  };
  Scope scope;
  node.store_broken = true;
  scope.spawn(
      note(*node.writer, room,
           {.sender = "@bob:hs", .type = "m.room.member", .state_key = "@bob:hs", .content = {{"membership", "join"}}},
           sent));
  scope.spawn(
      note(*node.writer, room, {.sender = "@bob:hs", .type = "m.room.message", .content = {{"body", "x"}}}, sent));
  CHECK(room->head_joined_count() == 2);
  node.loop.run_until([&] { return scope.running() == 0; });
  CHECK(sent == std::vector<bool>{false, false});
  CHECK(room->head_joined_count() == 1);
  node.store_broken = false;
  CHECK_FALSE(node.send(room, {.sender = "@bob:hs", .type = "m.room.message", .content = {{"body", "x"}}}));
}

TEST_CASE("the same claim gives the same event, also after a restart") {
  TempDir dir;
  std::string id;
  const journal::CommandKey key{"@alice:hs|D|/rooms/!room:hs/send/m.room.message", "t1"};
  const auto send = [&](Node& node, const RoomPtr& room) {
    auto claim = node.loop.run(node.journal->claim(key));
    REQUIRE(claim);
    if (claim->answer()) return *claim->answer();
    auto e = node.loop.run(node.writer->send(
        room, {.sender = "@alice:hs", .type = "m.room.message", .content = {{"body", "x"}}}, *std::move(claim)));
    REQUIRE(e);
    return (*e)->event_id;
  };
  {
    Node node(dir.file("db"));
    const auto room = node.create();
    id = send(node, room);
    CHECK(send(node, room) == id);
    CHECK(room->timeline().size() == 5);
  }
  Node node(dir.file("db"));
  const auto room = node.loop.run(node.rooms->get("!room:hs"));
  REQUIRE(room);
  CHECK(send(node, *room) == id);
  CHECK((*room)->timeline().size() == 5);
}

TEST_CASE("a redaction needs its power or one's own event") {
  TempDir dir;
  Node node(dir.file("db"));
  const auto room = node.create();
  node.member(room, "@bob:hs", "join");
  const auto hers = node.say(room, "hers");
  const auto his = node.say(room, "his", "@bob:hs");
  const auto forbidden =
      node.send(room, {.sender = "@bob:hs", .type = "m.room.redaction", .content = {}, .redact_target = hers});
  REQUIRE_FALSE(forbidden);
  CHECK(forbidden.error().is(EventErrc::Forbidden));
  CHECK_FALSE(room->has_flight());

  const auto redaction = node.redact(room, his, "@bob:hs");
  CHECK(redaction->content().find(his->event_id) != std::string_view::npos);
  const auto& gone = room->timeline()[room->timeline().size() - 2];
  CHECK(gone->event_id == his->event_id);
  CHECK(gone->content() == "{}");
  CHECK(gone->redacted_by == redaction->event_id);
  // The database tells the same.
  const auto stored = node.loop.run(node.rooms->event_anywhere(his->event_id));
  REQUIRE(stored);
  CHECK(shown(*stored->second) == shown(*gone));
}

TEST_CASE("redacting what decides about history does not open it") {
  TempDir dir;
  Node node(dir.file("db"));
  const auto room = node.create();
  node.set(room, "m.room.history_visibility", {{"history_visibility", "joined"}});
  const auto secret = node.say(room, "secret");
  const auto opened = node.set(room, "m.room.history_visibility", {{"history_visibility", "shared"}});
  const auto open = node.say(room, "open");
  node.member(room, "@bob:hs", "join");
  const auto seen = [&] {
    auto events = node.loop.run(node.visibility->filter(room, "@bob:hs", {secret, open}));
    REQUIRE(events);
    return *events;
  };
  CHECK(seen() == std::vector<EventPtr>{open});
  node.redact(room, opened);
  CHECK(seen() == std::vector<EventPtr>{open});
}
