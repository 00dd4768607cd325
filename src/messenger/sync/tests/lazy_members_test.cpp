#include "messenger/sync/lazy_members.hpp"

#include <doctest/doctest.h>

using haechi::messenger::LazyMembers;

TEST_CASE("a member is new once per device and room") {
  LazyMembers lazy;
  CHECK(lazy.first_time("@a:hs|D", 1, "@b:hs"));
  CHECK_FALSE(lazy.first_time("@a:hs|D", 1, "@b:hs"));
  CHECK(lazy.first_time("@a:hs|D", 2, "@b:hs"));
  CHECK(lazy.first_time("@a:hs|E", 1, "@b:hs"));
}

TEST_CASE("a reset forgets one room or one device") {
  LazyMembers lazy;
  for (const int room : {1, 2}) {
    CHECK(lazy.first_time("D", room, "@b:hs"));
    CHECK(lazy.first_time("E", room, "@b:hs"));
  }
  lazy.reset("D", 1);
  CHECK(lazy.first_time("D", 1, "@b:hs"));
  CHECK_FALSE(lazy.first_time("D", 2, "@b:hs"));
  lazy.reset("D");
  CHECK(lazy.first_time("D", 1, "@b:hs"));
  CHECK(lazy.first_time("D", 2, "@b:hs"));
  CHECK_FALSE(lazy.first_time("E", 1, "@b:hs"));
}

TEST_CASE("devices that synced longest ago are forgotten first") {
  LazyMembers lazy;
  CHECK(lazy.first_time("old", 1, "@b:hs"));
  CHECK(lazy.first_time("kept", 1, "@b:hs"));
  for (int i = 0; i < 19'999; ++i) {
    lazy.first_time("D" + std::to_string(i), 1, "@b:hs");
    if (i == 10'000) CHECK_FALSE(lazy.first_time("kept", 1, "@b:hs"));
  }
  CHECK_FALSE(lazy.first_time("kept", 1, "@b:hs"));
  CHECK(lazy.first_time("old", 1, "@b:hs"));
}
