#include "bench/response_parser.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace haechi::bench;

namespace {

struct Row {
  std::string_view name;
  std::string_view wire;
  int status;
  std::string_view body;
  bool keep_alive;
};

const std::vector<Row> kRows{
    {"fixed length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", true},
    {"name in any case", "HTTP/1.1 200 OK\r\ncontent-LENGTH:5 \r\nX: y\r\n\r\nhello", 200, "hello", true},
    {"empty body", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", 401, "", true},
    {"no body by status", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", true},
    {"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=1\r\n world\r\n0\r\n\r\n", 200,
     "hello world", true},
    {"chunked with trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: 1\r\n\r\n", 200,
     "a", true},
    {"close asked", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", 200, "x", false},
    {"old version", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", false},
    {"interim first", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", true},
};

}  // namespace

TEST_CASE("a response reads the same in one piece and cut anywhere") {
  for (const auto& row : kRows) {
    CAPTURE(row.name);
    for (std::size_t cut = 0; cut <= row.wire.size(); ++cut) {
      CAPTURE(cut);
      ResponseParser p;
      REQUIRE(p.feed(row.wire.substr(0, cut)) == cut);
      const auto rest = row.wire.substr(cut);
      CHECK(p.feed(rest) == rest.size());
      REQUIRE(p.done());
      CHECK(p.status() == row.status);
      CHECK(p.body() == row.body);
      CHECK(p.body_bytes() == row.body.size());
      CHECK(p.keep_alive() == row.keep_alive);
    }
  }
}

TEST_CASE("a response reads the same byte by byte, and the parser can be used again") {
  ResponseParser p;
  for (const auto& row : kRows) {
    CAPTURE(row.name);
    p.reset();
    CHECK(p.untouched());
    for (const char c : row.wire) REQUIRE(p.feed({&c, 1}) == 1);
    REQUIRE(p.done());
    CHECK(p.body() == row.body);
  }
}

TEST_CASE("what follows a response is left for the next one") {
  ResponseParser p;
  const std::string two = std::string(kRows[0].wire) + std::string(kRows[1].wire);
  const auto used = p.feed(two);
  CHECK(used == kRows[0].wire.size());
  CHECK(p.done());
  CHECK(p.feed(std::string_view(two).substr(used)) == 0);
}

TEST_CASE("a body without a length ends with the connection") {
  ResponseParser p;
  p.feed("HTTP/1.1 200 OK\r\n\r\nall of it");
  CHECK_FALSE(p.done());
  p.finish();
  CHECK(p.done());
  CHECK(p.body() == "all of it");
  CHECK_FALSE(p.keep_alive());
}

TEST_CASE("a connection closed in the middle fails the response") {
  ResponseParser p;
  p.feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
  p.finish();
  CHECK(p.failed());
}

TEST_CASE("counting keeps no bytes") {
  ResponseParser p;
  p.reset(BodyMode::CountOnly);
  p.feed(kRows[0].wire);
  CHECK(p.done());
  CHECK(p.body().empty());
  CHECK(p.body_bytes() == 5);
}

TEST_CASE("nonsense is refused") {
  for (const std::string_view wire :
       {"SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    CAPTURE(wire);
    ResponseParser p;
    p.feed(wire);
    CHECK(p.failed());
  }
  ResponseParser p;
  p.feed("HTTP/1.1 200 OK\r\nX: " + std::string(ResponseParser::kHeadMax, 'x'));
  CHECK(p.failed());
}
