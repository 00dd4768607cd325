#include "drill/client.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <map>
#include <set>

#include "drill/load_setup.hpp"
#include "drill/tests/fake_node.hpp"

using namespace haechi;
using namespace haechi::drill;
using namespace std::chrono_literals;

namespace {

FakeNode::Answer ready(FakeNode::Answer rest) {
  return [rest = std::move(rest)](const std::string& request) {
    return request.starts_with("GET /health/ready") ? FakeNode::http(200, "{}") : rest(request);
  };
}
FakeNode::Answer always(std::string answer) {
  return [answer = std::move(answer)](const std::string&) { return answer; };
}

/// Nodes of one site each, a client that prefers them in their order, and its record.
struct Fixture {
  explicit Fixture(const std::vector<std::string>& urls) {
    std::vector<World::Node> nodes;
    for (const auto& url : urls)
      nodes.push_back({Address::parse(url).value(), static_cast<std::uint32_t>(nodes.size())});
    std::vector<std::uint32_t> order;
    for (std::uint32_t n = 0; n < nodes.size(); ++n) order.push_back(n);
    world = std::make_unique<World>(loop, std::move(nodes));
    world->history = &history;
    roamer = std::make_unique<Roamer>(*world, 0, order);
  }

  Reply call(Duration patience = 5s, decltype(Asked::judge) judge = {}) {
    Asked asked;
    asked.kind = Kind::Send;
    asked.request = make_request("PUT", "/send/txn1", "token", R"({"n":1})");
    asked.patience = patience;
    asked.judge = std::move(judge);
    Reply reply;
    Scope scope;
    scope.spawn(run(std::move(asked), reply));
    loop.run();
    return reply;
  }
  Task<void> run(Asked asked, Reply& reply) {
    reply = co_await roamer->call(std::move(asked));
    co_await world->scope.join();
    loop.stop();
  }
  std::multiset<What> met() const {
    std::multiset<What> out;
    for (const auto& t : history.troubles) out.insert(t.what);
    return out;
  }

  SystemClock clock;
  ClientLoop loop{clock};
  History history;
  std::unique_ptr<World> world;
  std::unique_ptr<Roamer> roamer;
};

/// Nobody listens here: a port that was just given back.
std::string nobody() { return FakeNode(always("")).url(); }

}  // namespace

TEST_CASE("an answer at once is one attempt and no trouble") {
  FakeNode node(ready(always(FakeNode::http(200, "yes"))));
  Fixture f({node.url()});
  const auto reply = f.call();
  CHECK(reply.outcome == Outcome::Ok);
  CHECK(reply.body == "yes");
  CHECK(reply.attempts == 1);
  CHECK(f.history.troubles.empty());
  CHECK(f.call().outcome == Outcome::Ok);
}

TEST_CASE("a client whose node is gone takes the same request to the next one") {
  FakeNode second(ready(always(FakeNode::http(200, "yes"))));
  Fixture f({nobody(), second.url()});
  const auto reply = f.call();
  CHECK(reply.outcome == Outcome::Ok);
  CHECK(reply.node == 1);
  CHECK(f.met() == std::multiset<What>{What::Refused});
  CHECK(f.history.troubles[0].node == 0);
  REQUIRE(second.requests().size() == 1);
  CHECK(second.requests()[0] == make_request("PUT", "/send/txn1", "token", R"({"n":1})"));
}

TEST_CASE("a node that hangs up is a trouble, and the request goes out again with the same key") {
  std::atomic<int> times = 0;
  FakeNode node(ready([&](const std::string&) { return ++times == 1 ? std::string() : FakeNode::http(200, ""); }));
  Fixture f({node.url()});
  const auto reply = f.call();
  CHECK(reply.outcome == Outcome::Ok);
  CHECK(reply.attempts == 2);
  CHECK(f.met() == std::multiset<What>{What::Broken});
  CHECK(node.requests()[0] == node.requests()[1]);
}

TEST_CASE("a refusal that may pass is a trouble and is tried again") {
  std::atomic<int> times = 0;
  FakeNode node(
      ready([&](const std::string&) { return ++times == 1 ? FakeNode::http(503, "later") : FakeNode::http(200, ""); }));
  Fixture f({node.url()});
  const auto reply = f.call();
  CHECK(reply.outcome == Outcome::Ok);
  REQUIRE(f.met() == std::multiset<What>{What::Status});
  CHECK(f.history.troubles[0].status == 503);
  CHECK(f.history.troubles[0].detail == "later");
}

TEST_CASE("a refusal for good is not tried again") {
  FakeNode node(ready(always(FakeNode::http(403, "no"))));
  Fixture f({node.url()});
  const auto reply = f.call();
  CHECK(reply.outcome == Outcome::Failed);
  CHECK(reply.status == 403);
  CHECK(node.requests().size() == 1);
  CHECK(f.met() == std::multiset<What>{What::Status});
}

TEST_CASE("an answer that the asker expected not to like is no trouble") {
  FakeNode node(ready(always(FakeNode::http(404, ""))));
  Fixture f({node.url()});
  const auto reply = f.call(5s, [](int, std::string_view, std::uint16_t) { return Judgement::No; });
  CHECK(reply.outcome == Outcome::Failed);
  CHECK(f.history.troubles.empty());
}

TEST_CASE("success without what it must carry is a trouble") {
  FakeNode node(ready(always(FakeNode::http(200, "{}"))));
  Fixture f({node.url()});
  const auto reply = f.call(150ms, [](int, std::string_view, std::uint16_t) { return Judgement::Bad; });
  CHECK(reply.outcome == Outcome::Unknown);
  CHECK(f.met() == std::multiset<What>{What::Content, What::GaveUp});
}

TEST_CASE("a node that answers late but lives keeps its client") {
  std::atomic<int> asked_for_life = 0;
  FakeNode other(ready(always(FakeNode::http(200, "other"))));
  // Silent until it was asked whether it lives; then the answer to the first request comes with the second.
  FakeNode node([&](const std::string& request) -> std::string {
    if (!request.starts_with("GET /health")) return FakeNode::kSilent;
    ++asked_for_life;
    return FakeNode::http(200, "");
  });
  Fixture f({node.url(), other.url()});
  const auto reply = f.call(1500ms);
  CHECK(asked_for_life >= 1);
  CHECK(reply.outcome == Outcome::Unknown);
  CHECK(other.requests().empty());
  CHECK(f.met().count(What::GaveUp) == 1);
}

TEST_CASE("a node that says nothing at all loses its client") {
  FakeNode dead(always(FakeNode::kSilent));
  FakeNode alive(ready(always(FakeNode::http(200, "yes"))));
  Fixture f({dead.url(), alive.url()});
  const auto reply = f.call();
  CHECK(reply.outcome == Outcome::Ok);
  CHECK(reply.node == 1);
  CHECK(f.met() == std::multiset<What>{What::Silent});
  CHECK(reply.end - reply.start < 3 * kSecond);
}

TEST_CASE("a node that lives but cannot serve loses its client to one that can") {
  FakeNode unready([](const std::string& request) {
    return request.starts_with("GET /health") ? FakeNode::http(503, "") : std::string(FakeNode::kSilent);
  });
  FakeNode able(ready(always(FakeNode::http(200, "yes"))));
  Fixture f({unready.url(), able.url()});
  CHECK(f.call().node == 1);
  CHECK(f.met() == std::multiset<What>{What::Silent});
}

TEST_CASE("patience ends when nobody is there") {
  Fixture f({nobody(), nobody()});
  const auto reply = f.call(300ms);
  CHECK(reply.outcome == Outcome::Unknown);
  CHECK(f.met().count(What::GaveUp) == 1);
  CHECK(f.met().count(What::Refused) >= 1);
}

TEST_CASE("a kept connection that was closed meanwhile is no trouble") {
  // Hangs up after each answer without having said so.
  std::atomic<int> times = 0;
  FakeNode node(
      ready([&](const std::string&) { return ++times % 2 == 0 ? std::string() : FakeNode::http(200, "yes"); }));
  Fixture f({node.url()});
  CHECK(f.call().outcome == Outcome::Ok);
  const auto reply = f.call();
  CHECK(reply.outcome == Outcome::Ok);
  CHECK(reply.attempts == 1);
  CHECK(f.history.troubles.empty());
}

TEST_CASE("answers in chunks, after an interim one, and until the end of the connection are understood") {
  for (const std::string answer :
       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nye\r\n1\r\ns\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nyes"}) {
    CAPTURE(answer);
    FakeNode node(ready(always(answer)));
    Fixture f({node.url()});
    CHECK(f.call().body == "yes");
  }
  FakeNode garbage(ready(always("SSH-2.0-OpenSSH\r\n\r\n")));
  Fixture f({garbage.url()});
  CHECK(f.call(150ms).outcome == Outcome::Unknown);
  CHECK(f.met().count(What::Broken) >= 1);
}

TEST_CASE("only http and IPv4 addresses are nodes") {
  CHECK(Address::parse("http://127.0.0.1:8008").has_value());
  CHECK(Address::parse("http://127.0.0.1:8008/").has_value());
  for (const auto* bad :
       {"", "http://", "https://127.0.0.1:1", "http://127.0.0.1", "http://host:80", "http://127.0.0.1:0",
        "http://127.0.0.1:65536", "http://127.0.0.1:x", "http://127.0.0.1:80/x"}) {
    CAPTURE(bad);
    CHECK_FALSE(Address::parse(bad).has_value());
  }
}

TEST_CASE("people of every site share rooms, and each begins at home and knows all nodes") {
  for (const int clients : {3, 12, 48, 96, 200}) {
    CAPTURE(clients);
    SystemClock clock;
    ClientLoop loop(clock);
    std::vector<World::Node> nodes;
    for (std::uint32_t n = 0; n < 6; ++n) nodes.push_back({Address::parse("http://127.0.0.1:1").value(), n / 2});
    World world(loop, nodes);
    Stage stage(world);
    hire(stage, 3, clients, false);
    CHECK(stage.people.size() == static_cast<std::size_t>(clients / 3 * 3));
    std::map<std::uint32_t, std::set<std::uint32_t>> homes;
    std::set<Role> roles;
    for (const auto& p : stage.people) {
      roles.insert(p->role);
      CHECK(nodes[p->main.node()].site == p->home);
      CHECK(nodes[p->elsewhere.node()].site != p->home);
      for (const auto r : p->rooms) {
        CHECK(r < stage.rooms.size());
        if (p->role == Role::Sender) homes[r].insert(p->home);
      }
      CHECK((p->role == Role::Uploader || p->role == Role::Writer || !p->rooms.empty()));
    }
    if (clients >= 18) CHECK(roles.size() == 5);
    for (std::uint32_t r = 0; r < stage.rooms.size(); ++r) CHECK_FALSE(homes[r].empty());
    if (clients == 48) {
      for (const auto& [room, from] : homes) CHECK(from.size() == 3);
    }
  }
}

TEST_CASE("what the clients write can be found again") {
  SystemClock clock;
  ClientLoop loop(clock);
  World world(loop, {});
  Stage stage(world);
  stage.run = "drillabc ";
  CHECK(number_in(stage, "drillabc 123") == 123);
  for (const auto* other : {"", "drillabc ", "drillabc x", "drillabd 123", "drillabc -1"})
    CHECK(number_in(stage, other) == 0);
  CHECK(find_member(R"({"a":1,"event_id" : "$x","event_id2":"$y"})", "event_id") == "$x");
  CHECK(find_member(R"({"event_id":5})", "event_id").empty());
  CHECK(find_member("", "event_id").empty());
  CHECK(version_in(R"({"version":7})") == 7);
  CHECK(version_in("rubbish") == 0);
  CHECK(media_of(1, 2) == media_of(1, 2));
  CHECK(media_of(1, 2) != media_of(1, 3));
}
