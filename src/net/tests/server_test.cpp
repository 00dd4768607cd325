#include "fixture.hpp"

namespace haechi::net::test {
namespace {

void echo_routes(Router& r, AsioLoop&) {
  r.add(Method::Get, "/hello", [](Request&) -> Task<Result<Response>> { co_return Response::of_json(R"({"a":1})"); });
  r.add(Method::Post, "/echo", echo);
  r.add(Method::Put, "/rooms/{room}/send/{type}", [](Request& req) -> Task<Result<Response>> {
    co_return Response::of_json(req.params[0] + "|" + req.params[1]);
  });
  r.add(Method::Get, "/throws", [](Request&) -> Task<Result<Response>> {
    throw std::runtime_error("inside");
    co_return Response{};
  });
  r.add(Method::Get, "/fails",
        [](Request&) -> Task<Result<Response>> { co_return fail(haechi::Errc::Conflict, "taken"); });
}

/// Answers when told to; each wait lasts until release or cancellation.
struct Gate {
  explicit Gate(AsioLoop& l) : loop(l), open(l) {}
  AsioLoop& loop;
  Waiter open;
  std::promise<void> entered;
  std::promise<Wake> left;

  Task<Result<Response>> handle(Request& req) {
    entered.set_value();
    const Wake why = co_await open.wait(loop.now() + std::chrono::seconds(20), req.canceller);
    left.set_value(why);
    co_return Response::of_json(why == Wake::Cancelled ? "cancelled" : "slow");
  }
};

struct GatedServer {
  explicit GatedServer(ServerOptions options = {})
      : server(
            [this](Router& r, AsioLoop& loop) {
              echo_routes(r, loop);
              gate.emplace(loop);
              r.add(Method::Get, "/slow", [this](Request& req) { return gate->handle(req); });
            },
            std::move(options)) {}
  std::optional<Gate> gate;
  TestServer server;
};

TEST_CASE("a connection is kept for the next request") {
  TestServer s(echo_routes);
  auto c = s.client();
  for (int i = 0; i < 3; ++i) {
    const Reply r = c->ask(request("GET /hello"));
    CHECK(r.status == 200);
    CHECK(r.body == R"({"a":1})");
    CHECK(r.header("Content-Type") == "application/json");
    CHECK(r.header("X-Content-Type-Options") == "nosniff");
    CHECK(r.header("Access-Control-Allow-Origin") == "*");
    CHECK(r.header("Date").ends_with("GMT"));
    CHECK_FALSE(r.has("Connection"));
  }
  CHECK(c->ask(request("POST /echo", "", "body bytes")).body == "POST /echo body bytes");
  CHECK(c->ask(request("GET /hello", "Connection: close\r\n")).header("Connection") == "close");
  CHECK(c->closed());
}

TEST_CASE("pipelined answers come in the order of the requests even when the first is slow") {
  GatedServer g;
  auto c = g.server.client();
  std::string many = request("GET /slow");
  for (int i = 0; i < 20; ++i) many += request("POST /echo", "", std::to_string(i));
  c->send(many);
  g.gate->entered.get_future().get();
  g.server.loop.post([&] { g.gate->open.notify(); });
  CHECK(c->read().body == "slow");
  for (int i = 0; i < 20; ++i) CHECK(c->read().body == "POST /echo " + std::to_string(i));
}

TEST_CASE("more pipelined requests than are let in at once are all answered") {
  TestServer s(echo_routes, {.pipelined_max = 4});
  auto c = s.client();
  std::string many;
  for (int i = 0; i < 500; ++i) many += request("POST /echo", "", std::to_string(i));
  c->send(many);
  for (int i = 0; i < 500; ++i) REQUIRE(c->read().body == "POST /echo " + std::to_string(i));
}

TEST_CASE("a request may arrive byte by byte") {
  TestServer s(echo_routes);
  auto c = s.client();
  for (const char b : request("POST /echo", "X-A: b\r\n", "slowly")) c->send({&b, 1});
  CHECK(c->read().body == "POST /echo slowly");
}

TEST_CASE("chunked bodies arrive whole, trailers are passed over") {
  TestServer s(echo_routes);
  auto c = s.client();
  const std::string head = request("POST /echo", "Transfer-Encoding: chunked\r\n");
  CHECK(c->ask(head + "4\r\nWiki\r\n6;x=y\r\npedia \r\n0\r\n\r\n").body == "POST /echo Wikipedia ");
  CHECK(c->ask(head + "3\r\nabc\r\n0\r\nExpires: never\r\n\r\n").body == "POST /echo abc");
  c->send(head);
  for (const char b : std::string_view("0\r\n\r\n")) c->send({&b, 1});
  CHECK(c->read().body == "POST /echo ");
  c->send(head);
  for (const char b : std::string_view("3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n")) c->send({&b, 1});
  CHECK(c->read().body == "POST /echo abc0123456789abcdef");
}

TEST_CASE("limits are answered and the connection is closed") {
  TestServer s(echo_routes, {.header_bytes_max = 1000, .body_bytes_max = 100});
  SUBCASE("header") {
    auto c = s.client();
    const Reply r = c->ask(request("GET /hello", "X-Big: " + std::string(2000, 'x') + "\r\n"));
    CHECK(r.status == 431);
    CHECK(r.header("Connection") == "close");
    CHECK(r.has("Access-Control-Allow-Origin"));
  }
  SUBCASE("header without an end") {
    auto c = s.client();
    CHECK(c->ask("GET /" + std::string(3000, 'x')).status == 431);
  }
  SUBCASE("announced body") {
    auto c = s.client();
    CHECK(c->ask(request("POST /echo", "Content-Length: 101\r\n")).status == 413);
  }
  SUBCASE("chunked body") {
    auto c = s.client();
    CHECK(c->ask(request("POST /echo", "Transfer-Encoding: chunked\r\n") + "65\r\n" + std::string(101, 'x') +
                 "\r\n0\r\n\r\n")
              .status == 413);
  }
  SUBCASE("the answer is not lost to the unread rest of a large body") {
    auto c = s.client();
    c->send(request("POST /echo", "Content-Length: 1000000\r\n") + std::string(1'000'000, 'x'));
    CHECK(c->read().status == 413);
  }
}

TEST_CASE("what is not HTTP is refused") {
  struct Row {
    const char* what;
    std::string bytes;
    int status;
  };
  const Row rows[] = {
      {"noise", "\x16\x03\x01\x02", 400},
      {"bare line feeds", "GET /hello HTTP/1.1\nHost: x\n\n", 400},
      {"no version", "GET /hello\r\n\r\n", 400},
      {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
      {"no host", "GET /hello HTTP/1.1\r\n\r\n", 400},
      {"two hosts", "GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"length and chunks",
       "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", 400},
      {"chunks and length",
       "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", 400},
      {"two lengths", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400},
      {"negative length", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc", 400},
      {"unknown encoding", "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nabc", 400},
      {"chunked twice", "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\nabc", 400},
      {"space before the colon", "GET /hello HTTP/1.1\r\nHost : a\r\n\r\n", 400},
      {"folded line", "GET /hello HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400},
      {"bad chunk", "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400},
      {"no path", "GET hello HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"NUL in the target", std::string("GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n", 31), 400},
      {"absolute form", "GET http://a/hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200},
      {"absolute form without a path", "GET http://a?x=/hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 404},
      {"empty lines first", "\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200},
  };
  TestServer s(echo_routes);
  for (const Row& row : rows) {
    CAPTURE(row.what);
    auto c = s.client();
    const Reply r = c->ask(row.bytes);
    CHECK(r.status == row.status);
    CHECK(r.header("Connection") == "close");
    c->end_sending();
    CHECK(c->closed());
  }
  CHECK(s.client()->ask(request("GET /hello")).status == 200);
}

TEST_CASE("HTTP/1.0 closes unless asked to stay") {
  TestServer s(echo_routes);
  auto c = s.client();
  CHECK(c->ask("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").header("Connection") == "keep-alive");
  CHECK(c->ask("GET /hello HTTP/1.0\r\n\r\n").header("Connection") == "close");
  CHECK(c->closed());
}

TEST_CASE("HEAD is GET without the body") {
  TestServer s(echo_routes);
  auto c = s.client();
  c->send(request("HEAD /hello"));
  const Reply r = c->read(true);
  CHECK(r.status == 200);
  CHECK(r.header("Content-Length") == "7");
  CHECK(c->ask(request("GET /hello")).body == R"({"a":1})");
}

TEST_CASE("unknown paths and wrong methods differ") {
  TestServer s(echo_routes);
  auto c = s.client();
  const Reply unknown = c->ask(request("GET /nowhere"));
  CHECK(unknown.status == 404);
  CHECK(unknown.header("Content-Type") == "application/problem+json");
  CHECK(unknown.has("Access-Control-Allow-Origin"));
  const Reply wrong = c->ask(request("DELETE /hello", "", "with a body"));
  CHECK(wrong.status == 405);
  CHECK(wrong.header("Allow") == "GET, HEAD");
  CHECK(c->ask(request("PUT /rooms/%21a%3Ab/send/m.room.message")).body == "!a:b|m.room.message");
  CHECK(c->ask(request("PUT /rooms/%zz/send/x")).status == 404);
  CHECK(c->ask(request("PUT /rooms/%ff/send/x")).status == 404);
}

TEST_CASE("OPTIONS is answered anywhere, for browsers") {
  TestServer s(echo_routes);
  auto c = s.client();
  for (const char* path : {"/hello", "/nowhere", "*"}) {
    const Reply r = c->ask(request("OPTIONS " + std::string(path)));
    CHECK(r.status == 204);
    CHECK(r.header("Access-Control-Allow-Methods") == "GET, POST, PUT, DELETE, OPTIONS");
    CHECK(r.header("Access-Control-Allow-Headers") == "X-Requested-With, Content-Type, Authorization, Date");
  }
  CHECK(c->ask(request("GET /hello")).status == 200);
}

TEST_CASE("errors and exceptions of handlers become answers") {
  log::set_level(log::Level::Off);
  TestServer s(echo_routes);
  auto c = s.client();
  CHECK(c->ask(request("GET /fails")).status == 409);
  const Reply r = c->ask(request("GET /throws"));
  CHECK(r.status == 500);
  CHECK(r.body.find("inside\"") != std::string::npos);
  CHECK(r.body.find("what") == std::string::npos);
  CHECK(c->ask(request("GET /hello")).status == 200);
  log::set_level(log::Level::Info);
}

TEST_CASE("a client that leaves cancels its long poll") {
  SUBCASE("by closing") {
    GatedServer g;
    auto c = g.server.client();
    c->send(request("GET /slow"));
    g.gate->entered.get_future().get();
    c->close();
    CHECK(g.gate->left.get_future().get() == Wake::Cancelled);
  }
  SUBCASE("by a reset") {
    GatedServer g;
    auto c = g.server.client();
    c->send(request("GET /slow"));
    g.gate->entered.get_future().get();
    c->reset();
    CHECK(g.gate->left.get_future().get() == Wake::Cancelled);
  }
}

TEST_CASE("a client that only closed its sending side still gets its answers") {
  TestServer s(echo_routes);
  auto c = s.client();
  c->send(request("GET /hello") + request("POST /echo", "", "x"));
  c->end_sending();
  CHECK(c->read().status == 200);
  CHECK(c->read().body == "POST /echo x");
  CHECK(c->closed());
}

TEST_CASE("100-continue is sent before the body is read, in its turn") {
  TestServer s(echo_routes);
  auto c = s.client();
  c->send(request("POST /echo", "Expect: 100-continue\r\nContent-Length: 2\r\n"));
  CHECK(c->read(true).status == 100);
  CHECK(c->ask("ok").body == "POST /echo ok");
}

TEST_CASE("a drain lets requests end, cancels long polls and closes the idle") {
  GatedServer g;
  auto idle = g.server.client();
  CHECK(idle->ask(request("GET /hello")).status == 200);
  auto waiting = g.server.client();
  waiting->send(request("GET /slow"));
  g.gate->entered.get_future().get();
  std::promise<void> drained;
  Scope scope;
  g.server.loop.post([&] {
    struct Run {
      static Task<void> go(Server& server, std::promise<void>& done) {
        co_await server.drain(std::chrono::seconds(10));
        done.set_value();
      }
    };
    scope.spawn(Run::go(*g.server.server, drained));
  });
  CHECK(idle->closed());
  const Reply r = waiting->read();
  CHECK(r.body == "cancelled");
  CHECK(r.header("Connection") == "close");
  CHECK(waiting->closed());
  drained.get_future().get();
  // The listening socket is gone.
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(g.server.port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0);
  ::close(fd);
  g.server.on_loop([] {});
}

TEST_CASE("clients that are sent away get every answer, and a closed connection after the next one") {
  GatedServer g;
  auto kept = g.server.client();
  CHECK_FALSE(kept->ask(request("GET /hello")).has("Connection"));
  g.server.on_loop([&] { g.server.server->send_away(true); });
  auto late = g.server.client();
  for (auto* c : {kept.get(), late.get()}) {
    const Reply r = c->ask(request("GET /hello"));
    CHECK(r.status == 200);
    CHECK(r.header("Connection") == "close");
    CHECK(c->closed());
  }
  g.server.on_loop([&] { g.server.server->send_away(false); });
  auto back = g.server.client();
  CHECK_FALSE(back->ask(request("GET /hello")).has("Connection"));
  CHECK(back->ask(request("GET /hello")).status == 200);
}

TEST_CASE("a handler may start the drain itself") {
  TestServer* self = nullptr;
  Scope scope;
  TestServer s([&](Router& r, AsioLoop& loop) {
    echo_routes(r, loop);
    r.add(Method::Post, "/stop", [&](Request&) -> Task<Result<Response>> {
      scope.spawn(self->server->drain(std::chrono::seconds(10)));
      co_return Response::empty_object();
    });
  });
  self = &s;
  auto c = s.client();
  // In two parts, so that the requests lie in the connection's own buffer when the drain begins.
  const std::string two = request("POST /stop") + request("GET /hello");
  c->send(two.substr(0, 10));
  c->send(two.substr(10));
  CHECK(c->read().header("Connection") == "close");
  CHECK(c->closed());
  // The drain hears of it some turns of the loop later.
  for (int turn = 0; turn < 100 && s.on_loop([&] { return scope.running(); }) != 0; ++turn) {
  }
  CHECK(s.on_loop([&] { return scope.running(); }) == 0);
}

TEST_CASE("slow headers, slow bodies and idle connections are cut") {
  TestServer s(echo_routes, {.header_timeout = std::chrono::milliseconds(30),
                             .body_timeout = std::chrono::milliseconds(30),
                             .idle_timeout = std::chrono::milliseconds(30)});
  auto header = s.client();
  header->send("GET /hel");
  CHECK(header->read().status == 408);
  auto body = s.client();
  body->send(request("POST /echo", "Content-Length: 10\r\n") + "half");
  CHECK(body->read().status == 408);
  CHECK(s.client()->closed());
}

TEST_CASE("connections of one address are limited") {
  TestServer s(echo_routes, {.connections_per_address_max = 2});
  auto a = s.client();
  auto b = s.client();
  CHECK(a->ask(request("GET /hello")).status == 200);
  CHECK(b->ask(request("GET /hello")).status == 200);
  auto c = s.client();
  CHECK(c->read().status == 503);
  CHECK(c->closed());
  a->send(request("GET /hello", "Connection: close\r\n"));
  CHECK(a->read().status == 200);
  CHECK(a->closed());
  CHECK(s.client()->ask(request("GET /hello")).status == 200);
}

}  // namespace
}  // namespace haechi::net::test
