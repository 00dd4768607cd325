#include "net/client.hpp"

#include "fixture.hpp"
#include "net/operations.hpp"

namespace haechi::net::test {
namespace {

TEST_CASE("private targets are refused unless allowed") {
  struct Row {
    const char* address;
    std::vector<std::string> ranges;
    bool allowed;
  };
  const Row rows[] = {
      {"8.8.8.8", {}, true},
      {"127.0.0.1", {}, false},
      {"10.1.2.3", {}, false},
      {"172.16.0.1", {}, false},
      {"172.32.0.1", {}, true},
      {"192.168.1.1", {}, false},
      {"169.254.169.254", {}, false},
      {"100.64.0.1", {}, false},
      {"0.0.0.0", {}, false},
      {"224.0.0.1", {}, false},
      {"255.255.255.255", {}, false},
      {"::1", {}, false},
      {"::", {}, false},
      {"fe80::1", {}, false},
      {"fc00::1", {}, false},
      {"ff02::1", {}, false},
      {"2a00:1450::1", {}, true},
      {"2606:4700::1111", {}, true},
      {"2001:db8::1", {}, false},
      {"::ffff:127.0.0.1", {}, false},
      {"::ffff:8.8.8.8", {}, true},
      {"::ffff:10.0.0.1", {}, false},
      {"2002:7f00:1::1", {}, false},
      {"64:ff9b::a00:1", {}, false},
      {"::127.0.0.1", {}, false},
      {"[::1]", {}, false},
      {"localhost", {}, false},
      {"", {}, false},
      {"127.0.0.1", {"127.0.0.0/8"}, true},
      {"127.0.0.1", {"127.0.0.1"}, true},
      {"127.0.0.2", {"127.0.0.1"}, false},
      {"10.1.2.3", {"10.1.0.0/16"}, true},
      {"10.2.2.3", {"10.1.0.0/16"}, false},
      {"::ffff:10.1.2.3", {"10.1.0.0/16"}, true},
      {"fd00::7", {"fd00::/8"}, true},
      {"172.16.0.1", {"::/0"}, true},
      {"172.31.255.255", {"172.16.0.0/12"}, true},
      {"172.16.0.1", {"nonsense"}, false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.address);
    CHECK(target_allowed(row.address, row.ranges) == row.allowed);
  }
}

TEST_CASE("address blocks are checked") {
  for (const char* good : {"10.0.0.0/8", "127.0.0.1", "::/0", "fd00::/8", "0.0.0.0/0"})
    CHECK(check_cidr(good).has_value());
  for (const char* bad : {"", "10.0.0.0/33", "10.0.0/8", "::/129", "x/8", "10.0.0.0/", "10.0.0.0/-1"}) {
    CAPTURE(bad);
    CHECK_FALSE(check_cidr(bad).has_value());
  }
}

struct ClientFixture {
  ClientFixture()
      : server([](Router& r, AsioLoop&) {
          r.add(Method::Post, "/echo", echo);
          r.add(Method::Get, "/big",
                [](Request&) -> Task<Result<Response>> { co_return Response::of_json(std::string(100'000, 'x')); });
          r.add(Method::Get, "/away", [](Request& req) -> Task<Result<Response>> {
            co_return Response{.status = 302, .headers = {{"Location", *req.param("to")}}};
          });
        }) {
    client = server.on_loop([this] { return std::make_unique<Client>(server.loop, ClientOptions{}); });
  }
  ~ClientFixture() {
    server.on_loop([this] { client.reset(); });
  }
  std::string url(std::string_view path) const {
    return "http://127.0.0.1:" + std::to_string(server.port) + std::string(path);
  }
  Result<ClientResponse> send(ClientRequest request) {
    std::promise<Result<ClientResponse>> done;
    auto result = done.get_future();
    server.loop.post([&] { scope.spawn(run(*client, std::move(request), done)); });
    auto out = result.get();
    server.on_loop([] {});
    return out;
  }
  static Task<void> run(Client& c, ClientRequest request, std::promise<Result<ClientResponse>>& done) {
    done.set_value(co_await c.send(std::move(request)));
  }
  Scope scope;
  TestServer server;
  std::unique_ptr<Client> client;
};

TEST_CASE_FIXTURE(ClientFixture, "a request goes out and its answer comes back") {
  auto r = send({.method = "POST", .url = url("/echo"), .body = "hello", .allowed_private_ranges = {"127.0.0.0/8"}});
  REQUIRE(r.has_value());
  CHECK(r->status == 200);
  CHECK(r->body == "POST /echo hello");
  CHECK(r->content_type == "application/json");
}

TEST_CASE_FIXTURE(ClientFixture, "the address connected to decides, not the name") {
  for (std::string target : {url("/echo"), "http://localhost:" + std::to_string(server.port) + "/echo",
                             "http://2130706433:" + std::to_string(server.port) + "/echo",
                             "http://[::ffff:127.0.0.1]:" + std::to_string(server.port) + "/echo"}) {
    CAPTURE(target);
    auto r = send({.method = "POST", .url = target});
    REQUIRE_FALSE(r.has_value());
    CHECK(r.error().is(haechi::Errc::Invalid));
  }
}

TEST_CASE_FIXTURE(ClientFixture, "redirects are bounded and guarded") {
  const std::vector<std::string> only_this{"127.0.0.1"};
  auto not_followed = send({.url = url("/away?to=/big"), .allowed_private_ranges = only_this});
  REQUIRE(not_followed.has_value());
  CHECK(not_followed->status == 302);
  auto followed = send({.url = url("/away?to=/big"), .redirects_max = 2, .allowed_private_ranges = only_this});
  REQUIRE(followed.has_value());
  CHECK(followed->body.size() == 100'000);
  CHECK(followed->final_url == url("/big"));
  auto elsewhere =
      send({.url = url("/away?to=http://127.0.0.2:1/"), .redirects_max = 2, .allowed_private_ranges = only_this});
  REQUIRE_FALSE(elsewhere.has_value());
  CHECK(elsewhere.error().is(haechi::Errc::Invalid));
  auto file =
      send({.url = url("/away?to=file:///etc/passwd"), .redirects_max = 2, .allowed_private_ranges = only_this});
  REQUIRE_FALSE(file.has_value());
  CHECK(file.error().is(haechi::Errc::Invalid));
}

TEST_CASE_FIXTURE(ClientFixture, "what is too large, unreachable or no URL is an error") {
  auto large = send({.url = url("/big"), .response_bytes_max = 1000, .allowed_private_ranges = {"127.0.0.0/8"}});
  CHECK(large.error().is(haechi::Errc::TooLarge));
  CHECK(send({.url = "ftp://127.0.0.1/"}).error().is(haechi::Errc::Invalid));
  CHECK(send({.url = "http://a\r\nb/"}).error().is(haechi::Errc::Invalid));
  CHECK(send({.url = "http://127.0.0.1:1/", .allowed_private_ranges = {"127.0.0.0/8"}})
            .error()
            .is(haechi::Errc::Unavailable));
}

TEST_CASE("operators see metrics and health") {
  bool ready = true;
  Metrics shown;
  TestServer s([&](Router& r, AsioLoop&) {
    add_operations_routes(r, shown, [&]() -> Result<> {
      if (ready) return {};
      return fail(haechi::Errc::Unavailable, "the store is closed");
    });
  });
  auto c = s.client();
  CHECK(c->ask(request("GET /health/live")).status == 200);
  CHECK(c->ask(request("GET /health/ready")).status == 200);
  s.on_loop([&] { ready = false; });
  const Reply r = c->ask(request("GET /health/ready"));
  CHECK(r.status == 503);
  CHECK(r.body.find("the store is closed") != std::string::npos);
  CHECK(c->ask(request("GET /metrics")).header("Content-Type").starts_with("text/plain"));
  const std::string text = s.on_loop([&] { return s.metrics.render(); });
  CHECK(text.find("haechi_http_requests_total{code=\"2xx\"} 3") != std::string::npos);
  CHECK(text.find("haechi_http_connections 1") != std::string::npos);
  CHECK(text.find("route=\"/health/ready\"") != std::string::npos);
}

}  // namespace
}  // namespace haechi::net::test
