#include "net/request_parser.hpp"

#include <doctest/doctest.h>

namespace haechi::net {
namespace {

struct Parsed {
  bool good = true;
  bool done = false;
  std::string body;
};

/// The body comes in steps of `step` bytes more, as a slow network would bring it.
Parsed parse_in_steps(std::string_view text, std::size_t step) {
  const std::size_t end = find_head_end(text, 0);
  REQUIRE(end != std::string_view::npos);
  Request request;
  RequestParser parser;
  Parsed out;
  REQUIRE(parser.parse_head(text.substr(0, end), request).has_value());
  text.remove_prefix(end);
  for (std::size_t seen = std::min(step, text.size()); !parser.done();) {
    if (seen == 0) return out;
    auto piece = parser.parse_body(text.substr(0, seen));
    if (!piece) {
      out.good = false;
      return out;
    }
    out.body += piece->data;
    text.remove_prefix(piece->consumed);
    seen -= piece->consumed;
    if (piece->consumed > 0 && seen > 0) continue;
    if (seen == text.size()) break;
    seen = std::min(seen + step, text.size());
  }
  out.done = parser.done();
  return out;
}

TEST_CASE("a body is the same however it is cut up") {
  struct Row {
    const char* what;
    const char* framing;
    std::string bytes;
    bool good;
    bool done;
    const char* body;
  };
  const Row rows[] = {
      {"length", "Content-Length: 10", "0123456789", true, true, "0123456789"},
      {"short of its length", "Content-Length: 10", "01234", true, false, "01234"},
      {"chunks", "Transfer-Encoding: chunked", "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", true, true, "abc0123456789"},
      {"only the last chunk", "Transfer-Encoding: chunked", "0\r\n\r\n", true, true, ""},
      {"extensions and trailers", "Transfer-Encoding: chunked", "1;a=\"b\"\r\nx\r\n0;c\r\nX: y\r\nZ: z\r\n\r\n", true,
       true, "x"},
      {"one-byte chunks", "Transfer-Encoding: chunked", "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n000\r\n\r\n", true, true, "abc"},
      {"cut in the last chunk", "Transfer-Encoding: chunked", "1\r\na\r\n0\r\n", true, false, "a"},
      {"no number", "Transfer-Encoding: chunked", "xyz\r\nabc\r\n0\r\n\r\n", false, false, ""},
      {"too large a number", "Transfer-Encoding: chunked", "fffffffffffffffff\r\nabc", false, false, ""},
      {"longer than it says", "Transfer-Encoding: chunked", "1\r\nabc\r\n0\r\n\r\n", false, false, "a"},
  };
  for (const Row& row : rows) {
    for (const std::size_t step : {1U, 2U, 3U, 4U, 5U, 7U, 1000U}) {
      CAPTURE(row.what);
      CAPTURE(step);
      const Parsed p =
          parse_in_steps("POST / HTTP/1.1\r\nHost: a\r\n" + std::string(row.framing) + "\r\n\r\n" + row.bytes, step);
      CHECK(p.good == row.good);
      CHECK(p.done == row.done);
      CHECK(p.body == row.body);
    }
  }
}

TEST_CASE("the end of a head is found across any cut") {
  const std::string_view text = "GET / HTTP/1.1\r\nA: b\n\r\r\n\r\nrest";
  const std::size_t end = text.size() - 4;
  for (std::size_t from = 0; from + 4 <= end; ++from) CHECK(find_head_end(text, from) == end);
  for (std::size_t n = 0; n < end; ++n) CHECK(find_head_end(text.substr(0, n), 0) == std::string_view::npos);
}

}  // namespace
}  // namespace haechi::net
