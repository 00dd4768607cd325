#include "messenger/room/visibility.hpp"

#include <doctest/doctest.h>

#include "base/text.hpp"
#include "messenger/room/tests/make_event.hpp"

using namespace haechi;
using namespace haechi::messenger;
using messenger::room_test::make_event;
using messenger::room_test::make_member;

namespace {

EventPtr setting(Position pos, std::string_view value) {
  return make_event({.pos = pos,
                     .type = "m.room.history_visibility",
                     .state_key = "",
                     .content = "{\"history_visibility\":\"" + std::string(value) + "\"}"});
}
EventPtr message(Position pos) { return make_event({.pos = pos}); }

/// "5 join, 9 leave" as member events of @bob.
std::vector<EventPtr> stays(std::string_view text) {
  std::vector<EventPtr> out;
  for (const auto part : split(text, ',')) {
    const auto words = split(trim(part), ' ');
    if (words.size() == 2) out.push_back(make_member(*parse_int(words[0]), "@bob:hs", std::string(words[1])));
  }
  return out;
}

}  // namespace

TEST_CASE("who sees a message at position 10, by visibility and by when they were there") {
  struct Row {
    const char* stays;
    bool world, shared, invited, joined;
  };
  for (const auto& r : {
           // stays                                world  shared invited joined
           Row{"", true, false, false, false},                         // never there
           Row{"5 join", true, true, true, true},                      // joined before
           Row{"15 join", true, true, false, false},                   // joined after
           Row{"5 invite", true, false, true, false},                  // invited only
           Row{"5 invite, 15 join", true, true, true, false},          // invited then, joined after
           Row{"12 invite, 15 join", true, true, false, false},        // invited after
           Row{"3 join, 5 leave", true, false, false, false},          // gone by then
           Row{"3 join, 15 leave", true, true, true, true},            // there then, gone now
           Row{"3 join, 5 leave, 15 join", true, true, false, false},  // away meanwhile
           Row{"3 join, 5 ban", true, false, false, false}, Row{"5 knock", true, false, false, false},
           Row{"5 knock, 15 join", true, true, false, false},
           Row{"3 join, 5 leave, 7 invite", true, false, true, false},
           Row{"15 invite, 16 leave", true, false, false, false},  // refused
       }) {
    CAPTURE(r.stays);
    const std::pair<const char*, bool> cases[] = {{"world_readable", r.world},
                                                  {"shared", r.shared},
                                                  {"invited", r.invited},
                                                  {"joined", r.joined},
                                                  {"nonsense", r.shared}};
    for (const auto& [visibility, sees] : cases) {
      CAPTURE(visibility);
      CHECK(Seer("@bob:hs", {setting(2, visibility)}, stays(r.stays)).sees(*message(10)) == sees);
    }
    CHECK(Seer("@bob:hs", {}, stays(r.stays)).sees(*message(10)) == r.shared);
  }
}

TEST_CASE("each event is judged by the visibility of its time") {
  const Seer late("@bob:hs",
                  {setting(2, "shared"), setting(10, "joined"), setting(20, "world_readable"), setting(30, "invited")},
                  stays("50 join"));
  struct Row {
    Position pos;
    bool sees;
  };
  for (const auto& r : {Row{1, true}, Row{5, true}, Row{15, false}, Row{25, true}, Row{35, false}, Row{55, true}}) {
    CAPTURE(r.pos);
    CHECK(late.sees(*message(r.pos)) == r.sees);
  }
}

TEST_CASE("a change of visibility is seen by whoever could see before or after it") {
  const auto closing = setting(10, "joined");
  CHECK(Seer("@bob:hs", {setting(2, "world_readable"), closing}, {}).sees(*closing));
  const auto opening = setting(10, "world_readable");
  CHECK(Seer("@bob:hs", {setting(2, "joined"), opening}, {}).sees(*opening));
  const auto inside = setting(10, "invited");
  CHECK_FALSE(Seer("@bob:hs", {setting(2, "joined"), inside}, {}).sees(*inside));
}

TEST_CASE("everybody sees what happened to themselves, and not what happened to others meanwhile") {
  const auto mine = stays("3 join, 10 ban");
  const Seer bob("@bob:hs", {setting(2, "joined")}, mine);
  CHECK(bob.sees(*mine[1]));
  CHECK_FALSE(bob.sees(*make_member(11, "@carol:hs", "join")));
}

TEST_CASE("membership and the right to look at all") {
  const Seer bob("@bob:hs", {setting(2, "joined")}, stays("3 invite, 5 join, 9 leave"));
  CHECK(bob.membership_at(1) == Membership::None);
  CHECK(bob.membership_at(4) == Membership::Invite);
  CHECK(bob.membership_at(5) == Membership::Join);
  CHECK(bob.membership_at(100) == Membership::Leave);
  CHECK(bob.sees_anything());
  CHECK_FALSE(Seer("@bob:hs", {setting(2, "shared")}, stays("3 invite, 4 leave")).sees_anything());
  CHECK(Seer("@bob:hs", {setting(2, "world_readable")}, {}).sees_anything());
  CHECK_FALSE(Seer("@bob:hs", {setting(2, "world_readable"), setting(3, "joined")}, {}).sees_anything());
}
