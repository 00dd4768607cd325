#include "net/router.hpp"

#include <doctest/doctest.h>

namespace haechi::net {
namespace {

Task<Result<Response>> nothing(Request&) { co_return Response::empty_object(); }

Router sample() {
  Router r;
  for (const char* pattern :
       {"/", "/a", "/a/{x}", "/a/b/c", "/a/{x}/d", "/state/{room}/{type}/", "/state/{room}/{type}/{key}", "/rules/",
        "/rules", "/files/{name...}", "/v3/rooms/{id}/members", "/v3/rooms/special"}) {
    r.add(Method::Get, pattern, nothing);
  }
  r.add(Method::Put, "/a/{x}", nothing);
  r.add(Method::Post, "/a/fixed", nothing);
  r.alias("/r0", "/v3");
  r.alias("/unstable/feature", "/v3");
  return r;
}

TEST_CASE("paths find their patterns") {
  struct Row {
    Method method;
    const char* path;
    const char* pattern;  // empty: none
    std::vector<std::string> params;
    bool known;
  };
  const Row rows[] = {
      {Method::Get, "/", "/", {}, true},
      {Method::Get, "/a", "/a", {}, true},
      {Method::Head, "/a", "/a", {}, true},
      {Method::Get, "/a/", "", {}, false},
      {Method::Get, "/a/b", "/a/{x}", {"b"}, true},
      {Method::Get, "/a/b/c", "/a/b/c", {}, true},
      {Method::Get, "/a/b/d", "/a/{x}/d", {"b"}, true},
      {Method::Get, "/a/b/e", "", {}, false},
      {Method::Post, "/a/fixed", "/a/fixed", {}, true},
      {Method::Get, "/a/fixed", "/a/{x}", {"fixed"}, true},
      {Method::Put, "/a/fixed", "/a/{x}", {"fixed"}, true},
      {Method::Delete, "/a/fixed", "", {}, true},
      {Method::Get, "/state/!r/m.name/", "/state/{room}/{type}/", {"!r", "m.name"}, true},
      {Method::Get, "/state/!r/m.name/k", "/state/{room}/{type}/{key}", {"!r", "m.name", "k"}, true},
      {Method::Get, "/state/!r/m.name", "", {}, false},
      {Method::Get, "/state//m.name/k", "", {}, false},
      {Method::Get, "/rules/", "/rules/", {}, true},
      {Method::Get, "/rules", "/rules", {}, true},
      {Method::Get, "/files/", "/files/{name...}", {""}, true},
      {Method::Get, "/files/x/y%20z", "/files/{name...}", {"x/y z"}, true},
      {Method::Get, "/r0/rooms/%21a%3Ab/members", "/v3/rooms/{id}/members", {"!a:b"}, true},
      {Method::Get, "/unstable/feature/rooms/special", "/v3/rooms/special", {}, true},
      {Method::Get, "/a/%E2%82%AC%2F", "/a/{x}", {"€/"}, true},
      {Method::Get, "/a/%", "", {}, false},
      {Method::Get, "/a/%f", "", {}, false},
      {Method::Get, "/a/%C3%28", "", {}, false},
      {Method::Get, "/a/\xff", "", {}, false},
      {Method::Get, "/nothing", "", {}, false},
      {Method::Get, "a", "", {}, false},
      {Method::Get, "", "", {}, false},
      {Method::Delete, "/a/b", "", {}, true},
  };
  const Router r = sample();
  for (const Row& row : rows) {
    CAPTURE(row.path);
    const auto match = r.match(row.method, row.path);
    CHECK((match.route ? match.route->pattern : "") == row.pattern);
    CHECK(match.params == row.params);
    CHECK(match.path_known == row.known);
  }
  CHECK(r.match(Method::Delete, "/a/fixed").allow == "GET, HEAD, PUT, POST");
}

TEST_CASE("the same route cannot be added twice") {
  Router r;
  r.add(Method::Get, "/a/{x}", nothing);
  r.add(Method::Put, "/a/{x}", nothing);
  CHECK_THROWS(r.add(Method::Get, "/a/{other}", nothing));
  CHECK_THROWS(r.add(Method::Get, "no-slash", nothing));
  CHECK_THROWS(r.add(Method::Get, "/a/{rest...}/b", nothing));
}

TEST_CASE("the longest prefix renders an error") {
  Router r;
  r.render_errors("/_matrix", [](const Error&) { return Response{.status = 400, .body = std::string("matrix")}; });
  r.render_errors("/_matrix/media", [](const Error&) { return Response{.status = 400, .body = std::string("media")}; });
  const auto body = [&](std::string_view path) {
    return std::get<std::string>(r.render(path, Error(Errc::UnknownPath, "x")).body);
  };
  CHECK(body("/_matrix/client") == "matrix");
  CHECK(body("/_matrix/media/x") == "media");
  CHECK(body("/other").find("\"status\":404") != std::string::npos);
}

TEST_CASE("query parameters are decoded and repeat") {
  Request req;
  req.query = "a=1&b=x%20y+z&a=2&c&%64=e&bad=%zz&n=-5&n2=5x";
  CHECK(req.param("a") == "1");
  CHECK(req.params_all("a") == std::vector<std::string>{"1", "2"});
  CHECK(req.param("b") == "x y z");
  CHECK(req.param("c") == "");
  CHECK(req.param("d") == "e");
  CHECK_FALSE(req.param("bad"));
  CHECK_FALSE(req.param("none"));
  CHECK(req.param_int("n") == -5);
  CHECK_FALSE(req.param_int("n2"));
}

}  // namespace
}  // namespace haechi::net
