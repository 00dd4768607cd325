#include "drill/wire.hpp"

#include <doctest/doctest.h>

namespace haechi::drill {

TEST_CASE("an open wire lets packets through at once") {
  Wire wire;
  CHECK(wire.admit(1'000, 1'500) == 1'000);
  CHECK(wire.admit(1'000, 1'500) == 1'000);
}

TEST_CASE("a cut wire drops everything until it is healed") {
  Wire wire;
  wire.set({.cut = true});
  CHECK_FALSE(wire.admit(1'000, 1));
  CHECK_FALSE(wire.admit(kSecond, 70'000));
  wire.set({});
  CHECK(wire.admit(2 * kSecond, 1) == 2 * kSecond);
}

TEST_CASE("a delay is added to each packet and keeps their order") {
  Wire wire;
  wire.set({.delay = 5 * kMillisecond});
  CHECK(wire.admit(0, 100) == 5 * kMillisecond);
  CHECK(wire.admit(kMillisecond, 100) == 6 * kMillisecond);
  SUBCASE("also when the delay is taken away while packets are under way") {
    wire.set({});
    CHECK(wire.admit(2 * kMillisecond, 100) == 6 * kMillisecond);
    CHECK(wire.admit(7 * kMillisecond, 100) == 7 * kMillisecond);
  }
}

TEST_CASE("a narrow pipe spaces packets by their size and drops what would wait too long") {
  Wire wire;
  wire.set({.bytes_per_second = 1'000'000});
  CHECK(wire.admit(0, 10'000) == 10 * kMillisecond);
  CHECK(wire.admit(0, 10'000) == 20 * kMillisecond);
  // Idle time is not saved up.
  CHECK(wire.admit(kSecond, 10'000) == kSecond + 10 * kMillisecond);
  int dropped = 0;
  for (int i = 0; i < 100; ++i) dropped += !wire.admit(2 * kSecond, 10'000);
  CHECK(dropped == 49);
  // Once the queue has drained, packets pass again.
  CHECK(wire.admit(3 * kSecond, 10'000) == 3 * kSecond + 10 * kMillisecond);
}

}  // namespace haechi::drill
