#include <doctest/doctest.h>

#include "identity/rate_limiter.hpp"
#include "identity/tokens.hpp"
#include "identity/user_id.hpp"

using namespace haechi;
using namespace haechi::identity;
using namespace std::chrono_literals;

TEST_CASE("new names keep to the grammar of localparts") {
  struct Row {
    std::string wanted;
    const char* name;  // null: refused
  };
  const Row rows[] = {
      {"alice", "alice"},
      {"Alice", "alice"},
      {"a._=/+-9", "a._=/+-9"},
      {"1a", "1a"},
      {"", nullptr},
      {"123", nullptr},
      {"a b", nullptr},
      {"a:b", nullptr},
      {"@a", nullptr},
      {"a!", nullptr},
      {"\xc3\xa9", nullptr},
      {std::string("a\0b", 3), nullptr},
      {std::string(252, 'a'), nullptr},
  };
  for (const auto& row : rows) {
    CAPTURE(row.wanted);
    const auto got = normalise_new_localpart(row.wanted, "hs");
    CHECK(got.has_value() == (row.name != nullptr));
    if (got) CHECK(*got == row.name);
    if (!got) CHECK(got.error().is(identity::Errc::InvalidUsername));
  }
  CHECK(normalise_new_localpart(std::string(251, 'a'), "hs").has_value());  // 255 with "@" and ":hs"
}

TEST_CASE("what people type at a log-in becomes a user id of this server or nothing") {
  CHECK(resolve_login_name("a", "hs") == "@a:hs");
  CHECK(resolve_login_name("@a:hs", "hs") == "@a:hs");
  CHECK(resolve_login_name("@a", "hs") == "@a:hs");
  CHECK(resolve_login_name("@a:hs:8448", "hs:8448") == "@a:hs:8448");
  for (const char* bad : {"", "@", "@a:other", "a:hs", "\xff", "@:hs"}) {
    CAPTURE(bad);
    CHECK_FALSE(resolve_login_name(bad, "hs").has_value());
  }
  CHECK_FALSE(resolve_login_name(std::string(300, 'a'), "hs").has_value());
}

TEST_CASE("a bucket gives its burst at once, then its rate, and says when to come again") {
  ManualClock clock;
  RateLimiter limiter(clock, {.per_second = 2, .burst = 3});
  for (int i = 0; i < 3; ++i) CHECK(limiter.take("a").has_value());
  const auto refused = limiter.take("a");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().is(identity::Errc::LimitExceeded));
  CHECK(refused.error().detail == "\"retry_after_ms\":500");
  CHECK(limiter.take("b").has_value());  // another key has its own
  clock.advance(499ms);
  CHECK_FALSE(limiter.take("a"));
  CHECK_FALSE(limiter.check("a"));
  clock.advance(1ms);
  CHECK(limiter.check("a").has_value());
  CHECK(limiter.take("a").has_value());
  CHECK_FALSE(limiter.take("a"));
  clock.advance(1h);  // never fuller than full
  for (int i = 0; i < 3; ++i) CHECK(limiter.take("a").has_value());
  CHECK_FALSE(limiter.take("a"));
  limiter.forget("a");
  CHECK(limiter.take("a", 3).has_value());
  CHECK_FALSE(limiter.take("a"));
}

TEST_CASE("a limiter forgets the oldest key at its bound, and a rate of zero limits nothing") {
  ManualClock clock;
  RateLimiter limiter(clock, {.per_second = 1, .burst = 1}, 2);
  CHECK(limiter.take("a").has_value());
  CHECK(limiter.take("b").has_value());
  CHECK_FALSE(limiter.take("a"));
  CHECK(limiter.take("c").has_value());  // b goes
  CHECK(limiter.keys() == 2);
  CHECK_FALSE(limiter.take("a"));
  CHECK(limiter.take("b").has_value());

  RateLimiter off(clock, {.per_second = 0, .burst = 1});
  for (int i = 0; i < 100; ++i) CHECK(off.take("a").has_value());
  CHECK(off.keys() == 0);
}

TEST_CASE("the shared-secret MAC is Synapse's") {
  // printf 'nonce\0user\0pass\0admin' | openssl dgst -sha1 -hmac secret
  const auto mac = shared_secret_mac("secret", "nonce", "user", "pass", true);
  CHECK(mac == "a345ca675969ae5261e4d9c5011a88af072a91cd");
  CHECK(shared_secret_mac("secret", "nonce", "user", "pass", false) == "a62633a505e2bc2e61569cf3c6847ee41ef09bae");
  CHECK(shared_secret_mac("secret", "nonce", "user", "pass", false, "bot") ==
        "5df88cea62f19b2d0bc1750e02717dc6047f5dc1");
  std::string upper = mac;
  for (char& c : upper) c = c >= 'a' ? static_cast<char>(c - 32) : c;
  CHECK(shared_secret_mac_matches(upper, mac));
  CHECK_FALSE(shared_secret_mac_matches(mac.substr(1), mac));
  CHECK_FALSE(shared_secret_mac_matches("", mac));
}

TEST_CASE("a nonce is good once, for a minute, and they are bounded") {
  ManualClock clock;
  SeededRandom random(1);
  RegistrationNonces nonces(clock, random, 2);
  const auto a = nonces.issue();
  CHECK(nonces.spend(a));
  CHECK_FALSE(nonces.spend(a));
  CHECK_FALSE(nonces.spend("made up"));
  const auto b = nonces.issue();
  clock.advance(61s);
  CHECK_FALSE(nonces.spend(b));
  const auto c = nonces.issue();
  clock.advance(1s);
  const auto d = nonces.issue();
  clock.advance(1s);
  const auto e = nonces.issue();
  CHECK_FALSE(nonces.spend(c));
  CHECK(nonces.spend(d));
  CHECK(nonces.spend(e));
}
