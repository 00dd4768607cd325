#include "messenger/rooms/spaces.hpp"

#include <doctest/doctest.h>

#include "messenger/event/room_version.hpp"

namespace haechi::messenger {
namespace {

EventPtr child(std::string_view id, WallMs ts, std::string_view content) {
  auto e = std::make_shared<Event>();
  e->type = "m.space.child";
  e->sender = "@me:example.org";
  e->state_key = std::string(id);
  e->ts = ts;
  e->finish(content);
  return e;
}

std::string order(std::vector<EventPtr> children) {
  Room space(1, "!space", kRoomVersion12);
  space.load_state(std::move(children));
  std::string out;
  for (const auto& e : ordered_children(space)) out += *e->state_key;
  return out;
}

}  // namespace

TEST_CASE("children stand by their order, then by their age, then by their id") {
  CHECK(order({child("!a", 1, R"({"via":["x"]})"), child("!b", 3, R"({"order":"2","via":["x"]})"),
               child("!c", 2, R"({"order":"1","via":["x"]})")}) == "!c!b!a");
  CHECK(order({child("!b", 2, R"({"via":["x"]})"), child("!a", 2, R"({"via":["x"]})"),
               child("!z", 1, R"({"via":["x"]})")}) == "!z!a!b");
}

TEST_CASE("an order that is not valid counts as none") {
  const auto longer = R"({"order":")" + std::string(51, 'a') + R"(","via":["x"]})";
  CHECK(order({child("!a", 1, longer), child("!b", 2, R"({"order":"zz","via":["x"]})"),
               child("!c", 3, R"({"order":5,"via":["x"]})"),
               child("!d", 4, "{\"order\":\"\xc3\xa9\",\"via\":[\"x\"]}")}) == "!b!a!c!d");
}

TEST_CASE("a child without servers to ask is no child any more") {
  CHECK(order({child("!a", 1, "{}"), child("!b", 1, R"({"via":[]})"), child("!c", 1, R"({"via":"x"})"),
               child("!d", 1, R"({"via":["x"]})")}) == "!d");
}

}  // namespace haechi::messenger
