#include "identity/repo.hpp"
#include "identity/tests/fixture.hpp"

using namespace haechi;
using namespace haechi::identity;
using namespace haechi::identity::test;
using namespace std::chrono_literals;
using Bad = haechi::identity::Errc;

TEST_CASE("an account is made once, logged in, and found again after a restart") {
  TempDir dir;
  std::string token;
  {
    Node node(dir);
    const auto login = node.sign_up("Alice", "pass", {.device_id = "D1", .display_name = "phone"});
    CHECK(login.user_id == "@alice:hs");
    CHECK(login.device_id == "D1");
    CHECK(login.tokens.access_token.starts_with("hst_"));
    CHECK_FALSE(login.tokens.refresh_token.has_value());
    token = login.tokens.access_token;
    // The log-in is in memory at once.
    const auto* session = node.sessions().try_authenticate(token);
    REQUIRE(session);
    CHECK(session->user_id == "@alice:hs");
    CHECK(session->device_id == "D1");
    CHECK_FALSE(session->guest);
    CHECK(node.run(node.accounts().register_user({.localpart = "alice"})).error().is(Bad::UserInUse));
    CHECK(node.run(node.accounts().check_available("ALICE")).error().is(Bad::UserInUse));
    CHECK(node.run(node.accounts().check_available("bob")).has_value());
    CHECK(node.run(node.accounts().check_available("b:b")).error().is(Bad::InvalidUsername));
  }
  Node node(dir);
  CHECK_FALSE(node.sessions().try_authenticate(token));
  const auto session = node.who(token);
  REQUIRE(session);
  CHECK((*session)->user_num == 1);
  CHECK(node.sessions().try_authenticate(token) == session->get());
  CHECK(node.log_in("alice").user_id == "@alice:hs");
  CHECK(node.run(node.accounts().check_available("alice")).error().is(Bad::UserInUse));
}

TEST_CASE("of two registrations of one name at the same time one succeeds") {
  TempDir dir;
  Node node(dir);
  std::vector<Result<Registered>> results;
  struct Try {
    static Task<void> run(Accounts& a, std::vector<Result<Registered>>& out) {
      out.push_back(co_await a.register_user({.localpart = "bob", .password = "x"}));
    }
  };
  Scope scope;
  scope.spawn(Try::run(node.accounts(), results));
  scope.spawn(Try::run(node.accounts(), results));
  node.loop.run_until([&] { return scope.running() == 0; });
  REQUIRE(results.size() == 2);
  CHECK(results[0].has_value() != results[1].has_value());
  CHECK((results[0] ? results[1] : results[0]).error().is(Bad::UserInUse));
}

TEST_CASE("guests get numbers, generated names are no numbers, reserved names are refused") {
  TempDir dir;
  auto options = quick_options();
  options.accounts.exclusive = [](std::string_view l) { return l.starts_with("_irc_"); };
  Node node(dir, std::move(options));
  const auto guest = must(node.run(node.accounts().register_user({.kind = UserKind::Guest})));
  CHECK(guest.user_id == "@1:hs");
  CHECK((*node.who(guest.login->tokens.access_token))->guest);
  CHECK(require_not_guest(**node.who(guest.login->tokens.access_token)).error().is(Bad::GuestsForbidden));
  const auto other = must(node.run(node.accounts().register_user({.login = Login::No})));
  CHECK(other.user_id.starts_with("@u"));
  CHECK_FALSE(other.login.has_value());
  CHECK(node.run(node.accounts().register_user({.localpart = "_irc_bob"})).error().is(Bad::Exclusive));
  CHECK(node.run(node.accounts().register_user({.localpart = "_irc_bob", .kind = UserKind::Appservice})).has_value());
  CHECK(
      node.run(node.accounts().change_password("@1:hs", "x", LogoutOthers::Yes, "")).error().is(Bad::GuestsForbidden));
  CHECK(node.run(node.accounts().login_password("1", "", "a", {})).error().is(Bad::WrongCredentials));
}

TEST_CASE("wrong names and wrong passwords are refused alike") {
  TempDir dir;
  Node node(dir);
  node.sign_up("alice");
  must(node.run(node.accounts().register_user({.localpart = "nopass", .login = Login::No})));
  for (const auto& [name, password] :
       std::vector<std::pair<std::string, std::string>>{{"alice", "wrong"},
                                                        {"alice", ""},
                                                        {"nobody", "pass"},
                                                        {"@alice:other", "pass"},
                                                        {"", "pass"},
                                                        {"nopass", ""},
                                                        {"alice", std::string(2000, 'x')}}) {
    CAPTURE(name);
    const auto refused = node.run(node.accounts().login_password(name, password, "addr", {}));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().is(Bad::WrongCredentials));
    CHECK(refused.error().message == "Invalid username or password");
  }
  CHECK(node.log_in("ALICE").user_id == "@alice:hs");
  CHECK(node.log_in("@Alice:hs").user_id == "@alice:hs");
}

TEST_CASE("tries to log in are limited per user and address, and success gives them back") {
  TempDir dir;
  auto options = quick_options();
  options.accounts.login_rate = {.per_second = 0.5, .burst = 2};
  Node node(dir, std::move(options));
  node.sign_up("alice");
  node.sign_up("bob");
  for (int i = 0; i < 5; ++i) node.log_in("alice");
  const auto attempt = [&](std::string name, std::string password, std::string address) {
    return node.run(node.accounts().login_password(name, password, address, {}));
  };
  CHECK(attempt("alice", "no", "1.2.3.4").error().is(Bad::WrongCredentials));
  CHECK(attempt("alice", "no", "1.2.3.4").error().is(Bad::WrongCredentials));
  const auto limited = attempt("alice", "pass", "1.2.3.4");
  CHECK(limited.error().is(Bad::LimitExceeded));
  CHECK(limited.error().detail == "\"retry_after_ms\":2000");
  CHECK(attempt("alice", "pass", "5.6.7.8").has_value());
  CHECK(attempt("bob", "pass", "1.2.3.4").has_value());
  node.clock.advance(2s);
  CHECK(attempt("alice", "pass", "1.2.3.4").has_value());
}

TEST_CASE("a password hash follows the configured cost at the next log-in") {
  TempDir dir;
  {
    Node node(dir);
    node.sign_up("alice");
  }
  auto options = quick_options();
  options.passwords.passes = 2;
  Node node(dir, std::move(options));
  const auto stored = [&] {
    return must(node.run(node.readers->read([](store::Connection& c) -> Result<std::string> {
      return repo::credentials(c, "@alice:hs")->password_hash.value();
    })));
  };
  CHECK(stored().contains("t=1"));
  CHECK(node.run(node.accounts().login_password("alice", "no", "a", {})).error().is(Bad::WrongCredentials));
  CHECK(stored().contains("t=1"));
  node.log_in("alice");
  CHECK(stored().contains("t=2"));
  node.log_in("alice");
}

TEST_CASE("unfit passwords are refused before any hashing") {
  TempDir dir;
  auto options = quick_options();
  options.passwords.length_min = 4;
  Node node(dir, std::move(options));
  for (const std::string bad : {"", "abc", "\xc3\xa9\xc3\xa9\xc3\xa9", "\xff\xff\xff\xff"}) {
    CHECK(node.run(node.accounts().register_user({.localpart = "a", .password = bad})).error().is(Bad::WeakPassword));
  }
  CHECK(node.run(node.accounts().register_user({.localpart = "a", .password = std::string(600, 'x')}))
            .error()
            .is(Bad::WeakPassword));
  const auto id = node.sign_up("a", "long enough").user_id;
  CHECK(node.run(node.accounts().change_password(id, "abc", LogoutOthers::No, "")).error().is(Bad::WeakPassword));
}

TEST_CASE("changing the password ends the other log-ins only when asked to") {
  TempDir dir;
  Node node(dir);
  const auto one = node.sign_up("alice");
  const auto two = node.log_in("alice");
  must(node.run(node.accounts().change_password("@alice:hs", "second", LogoutOthers::No, one.device_id)));
  CHECK(node.who(two.tokens.access_token).has_value());
  must(node.run(node.accounts().change_password("@alice:hs", "third", LogoutOthers::Yes, one.device_id)));
  CHECK(node.who(one.tokens.access_token).has_value());
  CHECK(node.who(two.tokens.access_token).error().detail == "\"soft_logout\":false");
  CHECK(must(node.run(node.sessions().devices("@alice:hs"))).size() == 1);
  CHECK(node.run(node.accounts().login_password("alice", "pass", "a", {})).error().is(Bad::WrongCredentials));
  CHECK(node.log_in("alice", {}, "third").user_id == "@alice:hs");
  CHECK(node.run(node.accounts().change_password("@x:hs", "x", LogoutOthers::No, "")).error().is(Bad::NotFound));
}

TEST_CASE("deactivation ends everything, keeps the name taken, and is announced until it is done") {
  TempDir dir;
  std::vector<std::string> heard;
  Hooks hooks;
  hooks.device_removed_tx = [&](journal::Tx&, std::string_view u, std::string_view d) {
    heard.push_back("tx " + std::string(u) + " " + std::string(d));
  };
  hooks.device_removed = [&](std::string_view, std::string_view d) { heard.push_back("removed " + std::string(d)); };
  hooks.user_deactivated = [&](std::string_view u, Erase e) {
    heard.push_back("gone " + std::string(u) + (e == Erase::Yes ? " erased" : ""));
  };
  {
    Node node(dir, quick_options(), std::move(hooks));
    const auto a = node.sign_up("alice", "pass", {.device_id = "D"});
    const auto login_token = must(node.run(node.accounts().issue_login_token("@alice:hs")));
    const auto openid = must(node.run(node.identity->openid().issue("@alice:hs")));
    must(node.run(node.accounts().set_admin("@alice:hs", true)));
    must(node.run(node.accounts().deactivate("@alice:hs", Erase::Yes)));
    CHECK(heard == std::vector<std::string>{"tx @alice:hs D", "removed D", "gone @alice:hs erased"});
    CHECK_FALSE(node.sessions().try_authenticate(a.tokens.access_token));
    CHECK(node.who(a.tokens.access_token).error().detail == "\"soft_logout\":false");
    CHECK(node.run(node.accounts().login_password("alice", "pass", "a", {})).error().is(Bad::Deactivated));
    CHECK(node.run(node.accounts().login_token(login_token.token, {})).error().is(Bad::WrongCredentials));
    CHECK(node.run(node.accounts().login_trusted("@alice:hs", {})).error().is(Bad::Deactivated));
    CHECK(node.run(node.identity->openid().verify(openid.access_token)).error().is(Bad::UnknownToken));
    CHECK(node.run(node.accounts().register_user({.localpart = "alice"})).error().is(Bad::UserInUse));
    CHECK(node.run(node.accounts().set_admin("@alice:hs", true)).error().is(Bad::Deactivated));
    const auto user = must(node.run(node.accounts().find("@alice:hs")));
    CHECK(user->deactivated);
    CHECK(user->erased);
    CHECK_FALSE(user->admin);
  }
  Node node(dir);
  const auto pending = must(node.run(node.accounts().deactivated_pending()));
  REQUIRE(pending.size() == 1);
  CHECK(pending[0].user_id == "@alice:hs");
  CHECK(pending[0].erase == Erase::Yes);
  must(node.run(node.accounts().deactivated_done("@alice:hs")));
  CHECK(must(node.run(node.accounts().deactivated_pending())).empty());
}

TEST_CASE("locks, suspensions and rights reach sessions that are in memory") {
  TempDir dir;
  Node node(dir);
  const auto a = node.sign_up("alice");
  CHECK(require_unlocked(**node.who(a.tokens.access_token)).has_value());
  must(node.run(node.accounts().set_locked("@alice:hs", true)));
  const auto locked = require_unlocked(**node.who(a.tokens.access_token));
  CHECK(locked.error().is(Bad::Locked));
  CHECK(locked.error().detail == "\"soft_logout\":true");
  CHECK(node.run(node.accounts().login_password("alice", "pass", "a", {})).error().is(Bad::Locked));
  must(node.run(node.accounts().set_locked("@alice:hs", false)));
  must(node.run(node.accounts().set_suspended("@alice:hs", true)));
  must(node.run(node.accounts().set_admin("@alice:hs", true)));
  const auto session = must(node.who(a.tokens.access_token));
  CHECK_FALSE(session->locked);
  CHECK(session->suspended);
  CHECK(session->admin);
  CHECK(node.run(node.accounts().set_admin("@nobody:hs", true)).error().is(Bad::NotFound));
}

TEST_CASE("users are listed page by page in order of creation") {
  TempDir dir;
  Node node(dir);
  for (const char* name : {"c", "a", "b"}) node.sign_up(name);
  const auto first = must(node.run(node.accounts().list(0, 2)));
  REQUIRE(first.users.size() == 2);
  CHECK(first.users[0].user_id == "@c:hs");
  REQUIRE(first.next.has_value());
  const auto second = must(node.run(node.accounts().list(*first.next, 2)));
  REQUIRE(second.users.size() == 1);
  CHECK(second.users[0].localpart() == "b");
  CHECK_FALSE(second.next.has_value());
}
