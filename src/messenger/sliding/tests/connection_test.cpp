#include <doctest/doctest.h>

#include "messenger/sliding/connection.hpp"

using namespace haechi;
using namespace haechi::messenger;
using namespace haechi::messenger::sliding;

namespace {

void answer(Connection& c, std::string pos, std::int64_t room, Position upto) {
  c.pending.clear();
  c.pending.emplace(room, std::make_shared<Sent>(Sent{.upto = upto}));
  c.last = std::move(pos);
}

}  // namespace

TEST_CASE("what was sent counts once its position comes back") {
  Connection c;
  answer(c, "1/s1", 7, 10);
  CHECK_FALSE(c.sent(7));
  REQUIRE(c.resume("1/s1"));
  CHECK(c.sent(7)->upto == 10);
  answer(c, "2/s2", 7, 20);

  SUBCASE("the newer position confirms the newer state") {
    REQUIRE(c.resume("2/s2"));
    CHECK(c.sent(7)->upto == 20);
    CHECK_FALSE(c.resume("1/s1"));
  }
  SUBCASE("the older position means the answer was lost: nothing of it counts") {
    REQUIRE(c.resume("1/s1"));
    CHECK(c.sent(7)->upto == 10);
    CHECK_FALSE(c.resume("2/s2"));
    answer(c, "3/s3", 7, 30);
    REQUIRE(c.resume("3/s3"));
    CHECK(c.sent(7)->upto == 30);
  }
  SUBCASE("the same position may come several times") {
    REQUIRE(c.resume("2/s2"));
    REQUIRE(c.resume("2/s2"));
    CHECK(c.sent(7)->upto == 20);
  }
  SUBCASE("a restart forgets everything") {
    c.restart();
    CHECK_FALSE(c.sent(7));
    CHECK_FALSE(c.resume("1/s1"));
    CHECK_FALSE(c.resume("2/s2"));
    CHECK_FALSE(c.resume(""));
  }
}

TEST_CASE("direct rooms and tags come from the account data, whatever stands in it") {
  Connection c;
  const std::vector<AccountDatum> data{{"", "m.direct", R"({"@a":["!1","!2",3],"@b":"!x"})"},
                                       {"!1", "m.tag", R"({"tags":{"m.favourite":{},"u.work":1}})"},
                                       {"!2", "m.tag", R"({"tags":[]})"},
                                       {"!3", "m.direct", R"({"@a":["!9"]})"}};
  c.learn(data, 5);
  CHECK(c.direct == TextSet{"!1", "!2"});
  CHECK(c.tags.size() == 1);
  CHECK(c.tags.at("!1") == TextSet{"m.favourite", "u.work"});
  c.learn({}, 6);
  CHECK((c.direct.empty() && c.tags.empty()));
}

TEST_CASE("positions are read back, and nothing else is one") {
  const SyncToken token{.pos = 12, .stamp = 34, .to_device = 12};
  CHECK(parse_pos(pos_text(3, token)) == token);
  for (const auto* text : {"", "nonsense", "/", "1/", "/s1_2_3", "x/s1_2_3", "1/t5", "1/s-1_0_0"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_pos(text));
  }
}

TEST_CASE("connections of a device are bounded and the one used longest ago goes first") {
  Connections all;
  for (std::size_t i = 0; i < Connections::kPerDeviceMax; ++i) all.make("d", std::to_string(i));
  REQUIRE(all.find("d", "0"));
  all.make("d", "new");
  CHECK(all.find("d", "0"));
  CHECK_FALSE(all.find("d", "1"));
  CHECK(all.find("d", "new"));
  CHECK_FALSE(all.find("other", "new"));
  CHECK(all.size() == Connections::kPerDeviceMax);
}

TEST_CASE("devices are bounded") {
  Connections all;
  for (std::size_t i = 0; i < Connections::kDevicesMax + 1; ++i) all.make("d" + std::to_string(i), "");
  CHECK(all.size() == Connections::kDevicesMax);
  CHECK_FALSE(all.find("d0", ""));
  CHECK(all.find("d1", ""));
}

TEST_CASE("messages lift a room, state does not") {
  Room room(1, "!r", *find_room_version("11"));
  auto land = [&, pos = Position{0}](std::string type, bool state) mutable {
    auto e = std::make_shared<Event>();
    e->pos = ++pos;
    e->event_id = "$" + std::to_string(pos);
    e->type = std::move(type);
    e->sender = "@a";
    if (state) e->state_key = "";
    e->finish("{}");
    room.take_off(e);
    room.land(e);
    return pos;
  };
  BumpStamps bumps;
  const auto created = land("m.room.create", true);
  land("m.room.topic", true);
  CHECK(bumps.of(room) == created);
  const auto message = land("m.room.message", false);
  land("m.reaction", false);
  CHECK(bumps.of(room) == message);
  land("m.room.name", true);
  CHECK(bumps.of(room) == message);
}
