#include "identity/tests/fixture.hpp"

using namespace haechi;
using namespace haechi::identity;
using namespace haechi::identity::test;
using namespace std::chrono_literals;
using Bad = haechi::identity::Errc;

namespace {

const std::vector<UiaFlow> kPasswordFlow = {{{std::string(kStagePassword)}}};
const std::vector<UiaFlow> kRegisterFlow = {{{std::string(kStageDummy)}}};
const std::vector<UiaFlow> kTokenFlow = {{{std::string(kStageRegistrationToken), std::string(kStageDummy)}}};

struct Asked {
  std::optional<UiaCompleted> done;
  json::object challenge;
  std::optional<Error> error;
  std::string session() const { return std::string(get_string(challenge, "session").value()); }
  std::string errcode() const { return std::string(get_string(challenge, "errcode").value_or("")); }
};

Asked ask(Node& node, const std::vector<UiaFlow>& flows, std::optional<json::value> auth, UiaContext context) {
  Asked asked;
  auto r = node.run(node.identity->uia().check(flows, auth ? &*auth : nullptr, std::move(context)));
  if (!r) asked.error = r.error();
  else if (auto* done = std::get_if<UiaCompleted>(&*r)) asked.done = std::move(*done);
  else asked.challenge = std::get<UiaChallenge>(*r).body;
  return asked;
}

UiaContext delete_device(std::string user = "@alice:hs", json::object body = {{"devices", json::array{"D"}}}) {
  return {
      .operation = "POST /delete_devices", .user_id = std::move(user), .address = "1.1.1.1", .body = std::move(body)};
}
json::object password_auth(std::string user, std::string password, std::string session = {}) {
  json::object o{
      {"type", "m.login.password"}, {"identifier", {{"type", "m.id.user"}, {"user", user}}}, {"password", password}};
  if (!session.empty()) o["session"] = session;
  return o;
}

}  // namespace

TEST_CASE("a request is challenged, proven by password and let through once") {
  TempDir dir;
  Node node(dir);
  node.sign_up("alice");
  const auto first = ask(node, kPasswordFlow, {}, delete_device());
  CHECK(to_text(first.challenge).contains(R"("flows":[{"stages":["m.login.password"]}])"));
  CHECK(first.errcode().empty());
  const auto wrong = ask(node, kPasswordFlow, password_auth("alice", "no", first.session()), delete_device());
  CHECK(wrong.errcode() == "M_FORBIDDEN");
  CHECK(wrong.session() == first.session());
  const auto right = ask(node, kPasswordFlow, password_auth("@alice:hs", "pass", first.session()), delete_device());
  CHECK(right.done.has_value());
  // Spent: the session does not open the next request.
  const auto again = ask(node, kPasswordFlow, json::object{{"session", first.session()}}, delete_device());
  CHECK_FALSE(again.done.has_value());
  CHECK(again.session() != first.session());
}

TEST_CASE("older clients prove themselves at once and without an identifier") {
  TempDir dir;
  Node node(dir);
  node.sign_up("alice");
  CHECK(ask(node, kPasswordFlow, json::object{{"type", "m.login.password"}, {"user", "alice"}, {"password", "pass"}},
            delete_device())
            .done.has_value());
  CHECK(ask(node, kRegisterFlow, json::object{{"type", "m.login.dummy"}}, {.operation = "POST /register"})
            .done.has_value());
}

TEST_CASE("nobody passes with another's password, session, request or stage") {
  TempDir dir;
  Node node(dir);
  node.sign_up("alice");
  node.sign_up("mallory", "evil");
  // Mallory holds Alice's access token, but only her own password.
  CHECK(ask(node, kPasswordFlow, password_auth("mallory", "evil"), delete_device()).error->is(Bad::Forbidden));
  const auto mine = ask(node, kPasswordFlow, {}, delete_device("@mallory:hs"));
  CHECK(ask(node, kPasswordFlow, password_auth("alice", "pass", mine.session()), delete_device())
            .error->is(Bad::Forbidden));
  auto other = delete_device("@mallory:hs");
  other.operation = "POST /account/password";
  CHECK(ask(node, kPasswordFlow, password_auth("mallory", "evil", mine.session()), other).error->is(Bad::Forbidden));
  // A stage that the flows do not ask for proves nothing.
  const auto dummy = ask(node, kPasswordFlow, json::object{{"type", "m.login.dummy"}}, delete_device());
  CHECK_FALSE(dummy.done.has_value());
  CHECK(dummy.errcode() == "M_UNRECOGNIZED");
  // Malformed auth.
  CHECK(ask(node, kPasswordFlow, json::value("yes"), delete_device()).error->is(Bad::InvalidParam));
  CHECK(ask(node, kPasswordFlow, json::object{{"type", "m.login.password"}}, delete_device()).errcode() ==
        "M_MISSING_PARAM");
  CHECK_FALSE(ask(node, kPasswordFlow, json::object{{"type", 7}, {"session", 8}}, delete_device()).done.has_value());
  // A stage given for a session that nobody remembers counts for none; a new one is offered.
  const auto forgotten = ask(node, kPasswordFlow, password_auth("alice", "pass", "forgotten"), delete_device());
  CHECK_FALSE(forgotten.done.has_value());
  CHECK(forgotten.session() != "forgotten");
}

TEST_CASE("the body may not change once a stage was passed with it, its order may") {
  TempDir dir;
  Node node(dir);
  const auto token = must(node.run(node.identity->registration_tokens().create({.token = "T"})));
  const UiaContext empty{.operation = "POST /register"};
  const auto first = ask(node, kTokenFlow, {}, empty);
  auto named = empty;
  named.body = {{"username", "a"}, {"password", "p"}};
  const auto half =
      ask(node, kTokenFlow,
          json::object{{"type", "m.login.registration_token"}, {"token", "T"}, {"session", first.session()}}, named);
  CHECK(to_text(half.challenge).contains(R"("completed":["m.login.registration_token"])"));
  const json::object rest{{"type", "m.login.dummy"}, {"session", first.session()}};
  auto changed = empty;
  changed.body = {{"username", "b"}, {"password", "p"}};
  CHECK(ask(node, kTokenFlow, rest, changed).error->is(Bad::Forbidden));
  SUBCASE("the same members in another order") {
    auto reordered = empty;
    reordered.body = {{"password", "p"}, {"username", "a"}};
    const auto done = ask(node, kTokenFlow, rest, reordered);
    REQUIRE(done.done.has_value());
    CHECK(done.done->registration_token == "T");
  }
  SUBCASE("nothing but auth: the earlier body is carried out") {
    const auto done = ask(node, kTokenFlow, rest, empty);
    REQUIRE(done.done.has_value());
    CHECK(done.done->body == named.body);
  }
}

TEST_CASE("password tries in a challenge are limited like log-ins") {
  TempDir dir;
  auto options = quick_options();
  options.accounts.login_rate = {.per_second = 1, .burst = 2};
  Node node(dir, std::move(options));
  node.sign_up("alice");
  for (int i = 0; i < 2; ++i) {
    CHECK(ask(node, kPasswordFlow, password_auth("alice", "no"), delete_device()).errcode() == "M_FORBIDDEN");
  }
  CHECK(ask(node, kPasswordFlow, password_auth("alice", "pass"), delete_device()).error->is(Bad::LimitExceeded));
}

TEST_CASE("authentication sessions end in time and are bounded in number") {
  TempDir dir;
  auto options = quick_options();
  options.uia.sessions_max = 3;
  Node node(dir, std::move(options));
  for (int i = 0; i < 10; ++i) ask(node, kPasswordFlow, {}, delete_device());
  CHECK(node.identity->uia().sessions() == 3);
  node.loop.advance(16min);
  const auto next = ask(node, kPasswordFlow, {}, delete_device());
  CHECK(node.identity->uia().sessions() == 1);
}

TEST_CASE("a registration token is counted, ends, and is never used more often than allowed") {
  TempDir dir;
  Node node(dir);
  auto& tokens = node.identity->registration_tokens();
  must(node.run(tokens.create({.token = "once", .uses_allowed = 1})));
  CHECK(node.run(tokens.create({.token = "once"})).error().is(Bad::InvalidParam));
  CHECK(node.run(tokens.create({.token = "a b"})).error().is(Bad::InvalidParam));
  CHECK(node.run(tokens.create({.token = std::string(65, 'a')})).error().is(Bad::InvalidParam));
  CHECK(must(node.run(tokens.create({}))).token.size() == 16);

  const UiaContext reg{.operation = "POST /register"};
  const json::object auth{{"type", "m.login.registration_token"}, {"token", "once"}};
  CHECK(ask(node, kTokenFlow, auth, reg).challenge.contains("completed"));
  CHECK(must(node.run(tokens.find("once"))).pending == 1);
  CHECK_FALSE(must(node.run(tokens.valid("once"))));  // somebody is about to use it
  CHECK(ask(node, kTokenFlow, auth, reg).errcode() == "M_UNAUTHORIZED");
  node.loop.advance(16min);
  ask(node, kTokenFlow, {}, reg);
  CHECK(must(node.run(tokens.valid("once"))));  // they gave up

  must(node.run(node.accounts().register_user({.localpart = "a", .registration_token = "once"})));
  CHECK_FALSE(must(node.run(tokens.valid("once"))));
  CHECK(node.run(node.accounts().register_user({.localpart = "b", .registration_token = "once"}))
            .error()
            .is(Bad::Forbidden));
  CHECK(node.run(node.accounts().find("@b:hs")).error().is(Bad::NotFound));
  CHECK(must(node.run(tokens.find("once"))).completed == 1);
  // A refused registration uses nothing up.
  must(node.run(tokens.update("once", {.uses_allowed = std::optional<std::int64_t>(2)})));
  CHECK(node.run(node.accounts().register_user({.localpart = "a", .registration_token = "once"}))
            .error()
            .is(Bad::UserInUse));
  CHECK(must(node.run(tokens.find("once"))).completed == 1);

  must(node.run(tokens.update("once", {.expires_ms = std::optional<WallMs>(node.clock.wall_ms() + 1000)})));
  CHECK(must(node.run(tokens.valid("once"))));
  node.clock.advance(1s);
  CHECK_FALSE(must(node.run(tokens.valid("once"))));
  must(node.run(tokens.remove("once")));
  CHECK(node.run(tokens.remove("once")).error().is(Bad::NotFound));
  CHECK_FALSE(must(node.run(tokens.valid("once"))));
  CHECK(must(node.run(tokens.list())).size() == 1);
}
