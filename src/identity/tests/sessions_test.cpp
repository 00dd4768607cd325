#include "identity/tests/fixture.hpp"

using namespace haechi;
using namespace haechi::identity;
using namespace haechi::identity::test;
using namespace std::chrono_literals;
using Bad = haechi::identity::Errc;

namespace {

constexpr std::string_view kHard = "\"soft_logout\":false";
constexpr std::string_view kSoft = "\"soft_logout\":true";

}  // namespace

TEST_CASE("foreign, made-up and empty tokens open nothing") {
  TempDir dir;
  Node node(dir);
  const auto a = node.sign_up("alice", "pass", {.refresh = Refresh::Yes});
  CHECK(node.who("").error().is(Bad::MissingToken));
  for (const std::string& bad : {std::string("x"), a.tokens.access_token + "x", a.tokens.access_token.substr(1),
                                 *a.tokens.refresh_token, std::string(100'000, 'a'), std::string("\0\xff", 2)}) {
    const auto refused = node.who(bad);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().is(Bad::UnknownToken));
    CHECK(refused.error().detail == kHard);
  }
  // An access token is no refresh token.
  CHECK(node.run(node.sessions().refresh(a.tokens.access_token)).error().is(Bad::UnknownToken));
}

TEST_CASE("logging in on a known device ends its old token and keeps the device") {
  TempDir dir;
  std::vector<std::string> heard;
  Hooks hooks;
  hooks.device_added_tx = [&](journal::Tx&, std::string_view, std::string_view d) {
    heard.push_back("new " + std::string(d));
  };
  hooks.device_added = [&](std::string_view, std::string_view d) { heard.push_back("in " + std::string(d)); };
  hooks.device_removed = [&](std::string_view, std::string_view d) { heard.push_back("out " + std::string(d)); };
  Node node(dir, quick_options(), std::move(hooks));
  const auto one = node.sign_up("alice", "pass", {.device_id = "D", .display_name = "first"});
  const auto two = node.log_in("alice", {.device_id = "D", .display_name = "second"});
  CHECK(node.who(one.tokens.access_token).error().detail == kHard);
  CHECK(node.who(two.tokens.access_token).has_value());
  const auto devices = must(node.run(node.sessions().devices("@alice:hs")));
  REQUIRE(devices.size() == 1);
  CHECK(devices[0].display_name == "first");
  CHECK(heard == std::vector<std::string>{"new D", "in D", "in D"});
  CHECK(
      node.run(node.accounts().login_password("alice", "pass", "a", {.device_id = ""})).error().is(Bad::InvalidParam));
}

TEST_CASE("a log-out ends one device, a late one does not end the next log-in") {
  TempDir dir;
  Node node(dir);
  const auto one = node.sign_up("alice", "pass", {.device_id = "D"});
  const auto other = node.log_in("alice");
  const auto old = must(node.who(one.tokens.access_token));
  const auto again = node.log_in("alice", {.device_id = "D"});
  must(node.run(node.sessions().logout(old)));
  CHECK(node.who(again.tokens.access_token).has_value());
  must(node.run(node.sessions().logout(must(node.who(again.tokens.access_token)))));
  CHECK(node.who(again.tokens.access_token).error().detail == kHard);
  CHECK(node.who(other.tokens.access_token).has_value());
  must(node.run(node.sessions().logout_all("@alice:hs")));
  CHECK(node.who(other.tokens.access_token).error().detail == kHard);
  CHECK(must(node.run(node.sessions().devices("@alice:hs"))).empty());
}

TEST_CASE("an expired token is a soft log-out until its session ends") {
  TempDir dir;
  Node node(dir);
  const auto a = node.sign_up("alice", "pass", {.refresh = Refresh::Yes});
  REQUIRE(a.tokens.expires_in_ms.has_value());
  CHECK(node.who(a.tokens.access_token).has_value());
  node.clock.advance(std::chrono::milliseconds(*a.tokens.expires_in_ms));
  CHECK_FALSE(node.sessions().try_authenticate(a.tokens.access_token));
  CHECK(node.who(a.tokens.access_token).error().detail == kSoft);
  const auto fresh = must(node.run(node.sessions().refresh(*a.tokens.refresh_token)));
  CHECK(must(node.who(fresh.access_token))->device_id == a.device_id);
  must(node.run(node.sessions().logout_all("@alice:hs")));
  CHECK(node.who(a.tokens.access_token).error().detail == kHard);
  CHECK(node.run(node.sessions().refresh(*fresh.refresh_token)).error().is(Bad::UnknownToken));
}

TEST_CASE("an old refresh token is good until one of the new tokens is used") {
  TempDir dir;
  Node node(dir);
  auto& s = node.sessions();
  const auto a = node.sign_up("alice", "pass", {.refresh = Refresh::Yes});
  const auto id = must(node.who(a.tokens.access_token))->id;

  SUBCASE("the answer was lost: the same token again") {
    const auto lost = must(node.run(s.refresh(*a.tokens.refresh_token)));
    const auto got = must(node.run(s.refresh(*a.tokens.refresh_token)));
    CHECK(node.who(got.access_token).has_value());
    CHECK(node.who(lost.access_token).error().detail == kHard);
  }
  SUBCASE("the new access token was used") {
    const auto b = must(node.run(s.refresh(*a.tokens.refresh_token)));
    CHECK(must(node.who(b.access_token))->id == id);
    CHECK(node.run(s.refresh(*a.tokens.refresh_token)).error().is(Bad::UnknownToken));
    CHECK(node.run(s.refresh(*b.refresh_token)).has_value());
  }
  SUBCASE("the new refresh token was used") {
    const auto b = must(node.run(s.refresh(*a.tokens.refresh_token)));
    const auto c = must(node.run(s.refresh(*b.refresh_token)));
    CHECK(node.run(s.refresh(*a.tokens.refresh_token)).error().is(Bad::UnknownToken));
    CHECK(node.who(a.tokens.access_token).error().detail == kHard);
    CHECK(must(node.who(c.access_token))->id == id);
    CHECK(node.run(s.refresh(*b.refresh_token)).error().is(Bad::UnknownToken));
  }
}

TEST_CASE("devices are their owner's only") {
  TempDir dir;
  Node node(dir);
  node.sign_up("alice", "pass", {.device_id = "D"});
  const auto b = node.sign_up("bob", "pass", {.device_id = "D"});
  must(node.run(node.sessions().rename_device("@alice:hs", "D", "mine")));
  CHECK(must(node.run(node.sessions().device("@alice:hs", "D"))).display_name == "mine");
  CHECK_FALSE(must(node.run(node.sessions().device("@bob:hs", "D"))).display_name.has_value());
  CHECK(node.run(node.sessions().device("@bob:hs", "E")).error().is(Bad::NotFound));
  CHECK(node.run(node.sessions().rename_device("@bob:hs", "E", "x")).error().is(Bad::NotFound));
  must(node.run(node.sessions().delete_devices("@alice:hs", {"nothing", "D"})));
  CHECK(must(node.run(node.sessions().devices("@alice:hs"))).empty());
  CHECK(node.who(b.tokens.access_token).has_value());
}

TEST_CASE("last_seen is shown at once and written once a minute") {
  TempDir dir;
  {
    Node node(dir);
    const auto a = node.sign_up("alice", "pass", {.device_id = "D"});
    const auto session = must(node.who(a.tokens.access_token));
    const auto first = node.clock.wall_ms();
    node.sessions().seen(*session, "1.1.1.1");
    node.loop.advance(30s);
    node.sessions().seen(*session, "2.2.2.2");
    auto d = must(node.run(node.sessions().device("@alice:hs", "D")));
    CHECK(d.last_seen_ms == first);
    CHECK(d.last_seen_ip == "1.1.1.1");
    node.loop.advance(31s);
    node.loop.run_ready();
    node.sessions().seen(*session, "3.3.3.3");
  }
  Node node(dir);
  CHECK(must(node.run(node.sessions().device("@alice:hs", "D"))).last_seen_ip == "3.3.3.3");
}

TEST_CASE("the memory of sessions is bounded and what fell out is read again") {
  TempDir dir;
  auto options = quick_options();
  options.sessions.cached_max = 2;
  Node node(dir, std::move(options));
  std::vector<std::string> tokens;
  for (const char* name : {"a", "b", "c"}) tokens.push_back(node.sign_up(name).tokens.access_token);
  CHECK_FALSE(node.sessions().try_authenticate(tokens[0]));
  CHECK(node.sessions().try_authenticate(tokens[1]));
  CHECK(node.who(tokens[0]).has_value());
  CHECK(node.sessions().try_authenticate(tokens[0]));
  CHECK_FALSE(node.sessions().try_authenticate(tokens[2]));
}

TEST_CASE("a log-out while a token is being read is not missed") {
  TempDir dir;
  auto options = quick_options();
  options.sessions.cached_max = 1;
  Node node(dir, std::move(options));
  const auto a = node.sign_up("alice");
  const auto session = must(node.who(a.tokens.access_token));
  node.sign_up("bob");  // alice's session falls out of the memory
  REQUIRE_FALSE(node.sessions().try_authenticate(a.tokens.access_token));
  struct Steps {
    static Task<void> read(Sessions& s, std::string token, std::optional<Result<std::shared_ptr<const Session>>>& out) {
      out.emplace(co_await s.authenticate(token));
    }
    static Task<void> logout(Sessions& s, std::shared_ptr<const Session> session) { (void)co_await s.logout(session); }
  };
  std::optional<Result<std::shared_ptr<const Session>>> out;
  Scope scope;
  scope.spawn(Steps::read(node.sessions(), a.tokens.access_token, out));
  scope.spawn(Steps::logout(node.sessions(), session));
  node.loop.run_until([&] { return scope.running() == 0; });
  CHECK_FALSE(node.sessions().try_authenticate(a.tokens.access_token));
  CHECK(node.who(a.tokens.access_token).error().is(Bad::UnknownToken));
}

TEST_CASE("another node keeps its memory true by the feed alone") {
  TempDir dir;
  Node node(dir);
  const auto a = node.sign_up("alice", "pass", {.device_id = "D"});
  REQUIRE(node.sessions().try_authenticate(a.tokens.access_token));
  const auto tell = [&](journal::Kind kind, std::string data) {
    const journal::Entry e{.pos = 99, .kind = kind, .subject = "@alice:hs", .data = std::move(data), .local = nullptr};
    node.sessions().follow(e);
    node.accounts().follow(e);
  };
  tell(kDeviceRemoved, R"({"device_id":"OTHER"})");
  CHECK(node.sessions().try_authenticate(a.tokens.access_token));
  tell(kDeviceRemoved, R"({"device_id":"D"})");
  CHECK_FALSE(node.sessions().try_authenticate(a.tokens.access_token));
  auto user = *must(node.run(node.accounts().find("@alice:hs")));
  user.locked = true;
  tell(kUserChanged, user_to_feed(user));
  CHECK(node.accounts().cached("@alice:hs")->locked);
}

TEST_CASE("a log-in token works once and not for long") {
  TempDir dir;
  Node node(dir);
  node.sign_up("alice");
  const auto t = must(node.run(node.accounts().issue_login_token("@alice:hs")));
  CHECK(must(node.run(node.accounts().login_token(t.token, {}))).user_id == "@alice:hs");
  CHECK(node.run(node.accounts().login_token(t.token, {})).error().is(Bad::WrongCredentials));
  const auto late = must(node.run(node.accounts().issue_login_token("@alice:hs")));
  node.clock.advance(std::chrono::milliseconds(late.expires_in_ms));
  CHECK(node.run(node.accounts().login_token(late.token, {})).error().is(Bad::WrongCredentials));
  CHECK(node.run(node.accounts().issue_login_token("@nobody:hs")).error().is(Bad::NotFound));
}

TEST_CASE("an OpenID token says who somebody is for an hour and opens nothing else") {
  TempDir dir;
  Node node(dir);
  node.sign_up("alice");
  const auto t = must(node.run(node.identity->openid().issue("@alice:hs")));
  CHECK(must(node.run(node.identity->openid().verify(t.access_token))) == "@alice:hs");
  CHECK(node.who(t.access_token).error().is(Bad::UnknownToken));
  node.clock.advance(3600s);
  CHECK(node.run(node.identity->openid().verify(t.access_token)).error().is(Bad::UnknownToken));
}
