#include "messenger/event/ids.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace haechi::messenger;

TEST_CASE("server names are host names or addresses with an optional port") {
  for (const auto* good : {"h", "example.org", "example.org:8448", "1.2.3.4", "1.2.3.4:80", "[::1]",
                           "[2001:db8::1]:8448", "LOCALHOST", "a-b.c", "localhost:65535"}) {
    CAPTURE(good);
    CHECK(is_server_name(good));
  }
  for (const auto* bad :
       {"", ":80", "h:", "h:x", "h:123456", "a b", "a/b", "[::1", "[]", "[::1]x", "é.org", "h_x", "a@b", "[g::]"}) {
    CAPTURE(bad);
    CHECK_FALSE(is_server_name(bad));
  }
}

TEST_CASE("user ids are divided at the first colon") {
  const auto id = parse_user_id("@alice:example.org:8448");
  REQUIRE(id);
  CHECK(id->localpart == "alice");
  CHECK(id->server == "example.org:8448");
  CHECK(server_of("@alice:example.org:8448") == "example.org:8448");
  struct Row {
    std::string text;
    bool historical;
    bool strict;
  };
  const Row rows[] = {
      {"@a:h", true, true},
      {"@a.b_c=d-e/f+g9:h", true, true},
      {"@A:h", true, false},
      {"@é:h", true, false},
      {"@a b:h", true, false},
      {"@:h", true, false},
      {"@a", false, false},
      {"a:h", false, false},
      {"@a:", false, false},
      {"", false, false},
      {"@", false, false},
      {"@a:b c", false, false},
      {"#a:h", false, false},
      {std::string("@a\0:h", 5), false, false},
      {"@\xff:h", false, false},
      {"@" + std::string(252, 'a') + ":h", true, true},
      {"@" + std::string(253, 'a') + ":h", false, false},
  };
  for (const auto& r : rows) {
    CAPTURE(r.text);
    CHECK(parse_user_id(r.text).has_value() == r.historical);
    CHECK(parse_user_id(r.text, Localpart::Strict).has_value() == r.strict);
  }
}

TEST_CASE("rooms, aliases, events and media have their forms") {
  const std::string hash(43, 'A');
  CHECK(parse_room_id("!abc:h")->server == "h");
  CHECK(parse_room_id("!" + hash)->server.empty());
  CHECK(parse_room_id("!" + hash)->opaque == hash);
  for (const std::string& bad : {std::string("!"), std::string("!:h"), std::string("!abc"), "!" + hash + "A",
                                 std::string("abc:h"), std::string("!a:"), "!" + std::string(254, 'a') + ":h"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_room_id(bad));
  }
  CHECK(parse_room_alias("#해치:h")->localpart == "해치");
  for (const auto* bad : {"#:h", "#a", "a:h", "#a:", "!a:h"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_room_alias(bad));
  }
  CHECK(is_event_id("$old:h"));
  CHECK(is_event_id("$" + hash));
  CHECK_FALSE(is_event_id("$"));
  CHECK_FALSE(is_event_id("x"));
  CHECK(is_hash_event_id("$" + hash));
  CHECK_FALSE(is_hash_event_id("$" + hash + "A"));
  CHECK_FALSE(is_hash_event_id("$old:h"));
  CHECK(parse_mxc("mxc://h:1/aB-_9")->media_id == "aB-_9");
  for (const auto* bad :
       {"mxc://h/", "mxc://h", "mxc:///a", "http://h/a", "mxc://h/a/b", "mxc://h/a.b", "mxc://h/..", ""}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_mxc(bad));
  }
}
