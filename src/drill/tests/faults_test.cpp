#include "drill/faults.hpp"

#include <doctest/doctest.h>

#include <set>

namespace haechi::drill {

constexpr Abilities kAll{.links = true, .volumes = true};

TEST_CASE("the same seed draws the same strike") {
  for (std::uint64_t seed = 1; seed < 50; ++seed) {
    const auto a = draw(seed, {}, kAll);
    const auto b = draw(seed, {}, kAll);
    REQUIRE(a);
    CHECK(a->fault == b->fault);
    CHECK(a->role == b->role);
    CHECK(a->detail() == b->detail());
  }
}

TEST_CASE("every fault and every site is drawn sooner or later, and nothing that the ground forbids") {
  std::set<std::string_view> faults, few;
  std::set<std::string> roles;
  for (std::uint64_t seed = 1; seed < 300; ++seed) {
    const auto strike = *draw(seed, {}, kAll);
    faults.insert(name_of(strike.fault));
    roles.insert(strike.role);
    few.insert(name_of(draw(seed, {}, {})->fault));
  }
  CHECK(faults == std::set<std::string_view>{"kill", "freeze", "cut", "slow", "disk", "evacuate", "double"});
  CHECK(roles == std::set<std::string>{"primary", "standby", "third"});
  CHECK(few == std::set<std::string_view>{"kill", "freeze", "evacuate", "double"});
}

TEST_CASE("a wish is kept and changes only what it names") {
  const auto drawn = *draw(7, {}, kAll);
  const auto wished = *draw(7, {.site = "third", .away_s = 3}, kAll);
  CHECK(wished.fault == drawn.fault);
  CHECK(wished.role == "third");
  CHECK(wished.away_s == 3);
  CHECK(draw(7, {.fault = "kill", .wipe = true}, kAll)->wipe);
}

TEST_CASE("wrong wishes are refused with a reason") {
  CHECK(draw(1, {.fault = "earthquake"}, kAll).error().message.contains("there is no fault earthquake"));
  CHECK(draw(1, {.site = "fourth"}, kAll).error().message.contains("not fourth"));
  CHECK(draw(1, {.fault = "cut"}, {}).error().message.contains("network namespaces"));
  CHECK(draw(1, {.fault = "disk"}, {.links = true}).error().message.contains("root"));
}

TEST_CASE("the first run has the drill's own seed and the others have their own") {
  CHECK(seed_of_run(42, 1) == 42);
  std::set<std::uint64_t> seeds;
  for (int n = 1; n <= 1000; ++n) {
    seeds.insert(seed_of_run(42, n));
    seeds.insert(seed_of_run(43, n));
  }
  CHECK(seeds.size() == 2000);
}

}  // namespace haechi::drill
