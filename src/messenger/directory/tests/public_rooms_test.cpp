#include "messenger/directory/public_rooms.hpp"

#include <doctest/doctest.h>

#include "messenger/errc.hpp"

namespace haechi::messenger {
namespace {

PublicRoomsQuery query(std::string_view body) {
  auto q = public_rooms_query(must_parse_object(body));
  REQUIRE_MESSAGE(q.has_value(), body);
  return *std::move(q);
}

std::string ids(const json::object& page) {
  std::string out;
  for (const auto& room : page.at("chunk").as_array()) out += sv(room.at("room_id").as_string());
  return out;
}

}  // namespace

TEST_CASE("a search looks into name, topic and alias, whatever the case") {
  const PublicRoom room{.num = 1,
                        .room_id = "!a",
                        .name = "Tea House",
                        .topic = "green",
                        .canonical_alias = "#cups:x",
                        .room_type = "m.space"};
  const struct {
    std::string_view body;
    bool found;
  } rows[] = {
      {R"({})", true},
      {R"({"filter":{}})", true},
      {R"({"filter":{"generic_search_term":"tea h"}})", true},
      {R"({"filter":{"generic_search_term":"GREEN"}})", true},
      {R"({"filter":{"generic_search_term":"cups"}})", true},
      {R"({"filter":{"generic_search_term":"coffee"}})", false},
      {R"({"filter":{"room_types":["m.space"]}})", true},
      {R"({"filter":{"room_types":[null]}})", false},
      {R"({"filter":{"room_types":[null,"m.space"],"generic_search_term":"tea"}})", true},
  };
  for (const auto& row : rows) CHECK_MESSAGE(matches(room, query(row.body)) == row.found, row.body);
}

TEST_CASE("pages go from the fullest room to the emptiest, forward and back") {
  std::vector<PublicRoom> rooms;
  for (int i = 0; i < 5; ++i) {
    rooms.push_back(
        {.num = i, .room_id = std::string(1, static_cast<char>('a' + i)), .joined = static_cast<std::size_t>(i)});
  }
  std::vector<const PublicRoom*> all;
  for (const auto& r : rooms) all.push_back(&r);
  const auto first = page_of(all, query(R"({"limit":2})"));
  REQUIRE(first);
  CHECK(ids(*first) == "ed");
  CHECK(get_int(*first, "total_room_count_estimate") == 5);
  CHECK(!first->contains("prev_batch"));
  const auto second =
      page_of(all, query(R"({"limit":2,"since":")" + std::string(*get_string(*first, "next_batch")) + "\"}"));
  REQUIRE(second);
  CHECK(ids(*second) == "cb");
  const auto last =
      page_of(all, query(R"({"limit":2,"since":")" + std::string(*get_string(*second, "next_batch")) + "\"}"));
  REQUIRE(last);
  CHECK(ids(*last) == "a");
  CHECK(!last->contains("next_batch"));
  const auto back =
      page_of(all, query(R"({"limit":2,"since":")" + std::string(*get_string(*last, "prev_batch")) + "\"}"));
  REQUIRE(back);
  CHECK(ids(*back) == "cb");
}

TEST_CASE("tokens and limits that nobody gave are refused") {
  for (const auto* since : {"x", "o", "o-1", "n5"}) {
    const auto page = page_of({}, PublicRoomsQuery{.since = since});
    REQUIRE_MESSAGE(!page.has_value(), since);
    CHECK(page.error().is(Errc::InvalidParam));
  }
  for (const auto* body : {R"({"limit":-1})", R"({"limit":"x"})", R"({"filter":3})", R"({"since":3})",
                           R"({"filter":{"room_types":[1]}})"}) {
    CHECK_MESSAGE(!public_rooms_query(must_parse_object(body)).has_value(), body);
  }
}

}  // namespace haechi::messenger
