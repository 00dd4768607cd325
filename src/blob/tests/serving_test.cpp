#include "blob/serving.hpp"

#include <doctest/doctest.h>

#include "base/random.hpp"
#include "blob/types.hpp"

using namespace haechi;
using namespace haechi::blob;

TEST_CASE("a Range header selects bytes, everything, or nothing that there is") {
  struct Row {
    std::string_view header;
    std::uint64_t size;
    RangeKind kind;
    std::uint64_t offset, length;
  };
  constexpr auto None = RangeKind::None, Partial = RangeKind::Partial, Bad = RangeKind::Unsatisfiable;
  const Row rows[] = {
      {"", 1000, None, 0, 1000},
      {"bytes=0-499", 1000, Partial, 0, 500},
      {"bytes=500-999", 1000, Partial, 500, 500},
      {"bytes=500-", 1000, Partial, 500, 500},
      {"bytes=-500", 1000, Partial, 500, 500},
      {"bytes=-5000", 1000, Partial, 0, 1000},
      {"bytes=0-0", 1000, Partial, 0, 1},
      {"bytes=999-", 1000, Partial, 999, 1},
      {"bytes=0-9999", 1000, Partial, 0, 1000},
      {"Bytes = 1-2 ", 1000, Partial, 1, 2},
      {"bytes=1000-", 1000, Bad, 0, 0},
      {"bytes=1000-2000", 1000, Bad, 0, 0},
      {"bytes=-0", 1000, Bad, 0, 0},
      {"bytes=0-", 0, Bad, 0, 0},
      {"bytes=-1", 0, Bad, 0, 0},
      {"bytes=99999999999999999999999-", 1000, Bad, 0, 0},
      {"bytes=0-99999999999999999999999", 1000, Partial, 0, 1000},
      {"bytes=5-4", 1000, None, 0, 1000},
      {"bytes=0-1,4-5", 1000, None, 0, 1000},
      {"bytes=-", 1000, None, 0, 1000},
      {"bytes=a-b", 1000, None, 0, 1000},
      {"bytes=1", 1000, None, 0, 1000},
      {"bytes=--1", 1000, None, 0, 1000},
      {"bytes=+1-2", 1000, None, 0, 1000},
      {"lines=0-1", 1000, None, 0, 1000},
      {"bytes", 1000, None, 0, 1000},
  };
  for (const auto& row : rows) {
    CAPTURE(row.header);
    const auto got = parse_range(row.header, row.size);
    CHECK(got.kind == row.kind);
    CHECK(got.range.offset == row.offset);
    CHECK(got.range.length == row.length);
  }
  CHECK(parse_range("bytes=1-2", 10).range.content_range(10) == "bytes 1-2/10");
  CHECK(unsatisfied_range(10) == "bytes */10");
}

TEST_CASE("odd bytes in a Range header never select what is not there") {
  SeededRandom random(7);
  for (int i = 0; i < 20'000; ++i) {
    const auto header = "bytes=" + random.text(random.below(12), "0123456789-, =x");
    const auto size = random.below(100);
    const auto got = parse_range(header, size);
    if (got.kind != RangeKind::Partial) continue;
    REQUIRE(got.range.length > 0);
    REQUIRE(got.range.offset + got.range.length <= size);
  }
}

TEST_CASE("only the specification's media types are shown in place") {
  struct Row {
    std::string_view type, answered;
    bool is_inline;
  };
  const Row rows[] = {
      {"image/png", "image/png", true},
      {"IMAGE/PNG", "IMAGE/PNG", true},
      {"text/plain; charset=utf-8", "text/plain; charset=utf-8", true},
      {" audio/ogg;codecs=opus", "audio/ogg;codecs=opus", true},
      {"video/quicktime", "video/quicktime", true},
      {"text/html", "text/html", false},
      {"image/svg+xml", "image/svg+xml", false},
      {"application/pdf", "application/pdf", false},
      {"application/octet-stream", "application/octet-stream", false},
      {"", "application/octet-stream", false},
      {"image", "application/octet-stream", false},
      {"image/png\r\nSet-Cookie: a=b", "application/octet-stream", false},
      {"image /png", "application/octet-stream", false},
      {"image/png, text/html", "application/octet-stream", false},
  };
  for (const auto& row : rows) {
    CAPTURE(row.type);
    const auto got = serving_headers(row.type, "");
    CHECK(got.content_type == row.answered);
    CHECK(got.content_disposition == (row.is_inline ? "inline" : "attachment"));
  }
}

TEST_CASE("file names are written so that they cannot leave their header") {
  struct Row {
    std::string_view name, written;
  };
  const Row rows[] = {
      {"", "inline"},
      {"cat.png", "inline; filename=cat.png"},
      {"my cat.png", "inline; filename=\"my cat.png\""},
      {"a\"b\\c", "inline; filename=c"},
      {"a\"b", "inline; filename=\"a\\\"b\""},
      {"; x=y", "inline; filename=\"; x=y\""},
      {"../../etc/passwd", "inline; filename=passwd"},
      {"a\r\nX: y", "inline; filename=\"aX: y\""},
      {"고양이.png", "inline; filename*=utf-8''%EA%B3%A0%EC%96%91%EC%9D%B4.png"},
      {"é 100%'", "inline; filename*=utf-8''%C3%A9%20100%25%27"},
      {"\xff\xfe", "inline"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    CHECK(content_disposition("inline", row.name) == row.written);
  }
  CHECK(content_disposition("inline", std::string(4000, 'a')).size() < 300);
}

TEST_CASE("entity tags are compared as RFC 9110 says") {
  const auto tag = etag_of(sha256("x"));
  CHECK(tag.front() == '"');
  CHECK(etag_matches(tag, tag));
  CHECK(etag_matches("\"a\", W/" + tag, tag));
  CHECK(etag_matches("*", tag));
  CHECK_FALSE(etag_matches("", tag));
  CHECK_FALSE(etag_matches("\"a\"", tag));
  CHECK(if_range_holds("", tag));
  CHECK(if_range_holds(tag, tag));
  CHECK_FALSE(if_range_holds("W/" + tag, tag));
  CHECK_FALSE(if_range_holds("Sat, 29 Oct 1994 19:43:31 GMT", tag));
}

TEST_CASE("requested sizes become the next standard one") {
  struct Row {
    std::uint32_t w, h;
    Method method;
    std::uint32_t to_w, to_h;
    Method to_method;
  };
  const Row rows[] = {
      {1, 1, Method::Crop, 32, 32, Method::Crop},           {32, 32, Method::Crop, 32, 32, Method::Crop},
      {33, 10, Method::Crop, 96, 96, Method::Crop},         {97, 97, Method::Crop, 320, 240, Method::Scale},
      {32, 32, Method::Scale, 320, 240, Method::Scale},     {320, 240, Method::Scale, 320, 240, Method::Scale},
      {321, 10, Method::Scale, 640, 480, Method::Scale},    {10, 500, Method::Scale, 800, 600, Method::Scale},
      {5000, 5000, Method::Scale, 800, 600, Method::Scale},
  };
  for (const auto& row : rows) {
    const auto got = snap({row.w, row.h, row.method, Animated::No});
    CHECK(got == ThumbnailSpec{row.to_w, row.to_h, row.to_method, Animated::No});
  }
}

TEST_CASE("mxc addresses are taken apart strictly") {
  CHECK(parse_mxc("mxc://example.org:8448/aB-_9") == MediaId{"example.org:8448", "aB-_9"});
  for (const auto* bad :
       {"", "mxc://", "mxc://a", "mxc://a/", "mxc:///b", "http://a/b", "mxc://a/b/c", "mxc://a/b?c", "mxc://a b/c"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_mxc(bad));
  }
}
