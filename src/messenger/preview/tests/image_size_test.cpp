#include "messenger/preview/image_size.hpp"

#include <doctest/doctest.h>

#include <string>

using haechi::messenger::preview::image_size;
using namespace std::string_literals;

TEST_CASE("a picture's size is in its first bytes") {
  const auto png = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\x17\0\0\0\x81"s;
  const auto gif = "GIF89a\x02\x01\x03\x00"s;
  // A segment to skip, padding, then a frame of 16 by 300.
  const auto jpeg = "\xFF\xD8\xFF\xE0\0\4xx\xFF\xFF\xC2\0\x11\x08\x01\x2C\0\x10\x03"s;
  struct Case {
    std::string bytes;
    std::uint32_t width, height;
  };
  for (const auto& c : {Case{png, 279, 129}, Case{gif, 258, 3}, Case{jpeg, 16, 300}}) {
    const auto size = image_size(c.bytes);
    REQUIRE(size);
    CHECK(size->width == c.width);
    CHECK(size->height == c.height);
  }
}

TEST_CASE("what is cut off or no picture has no size") {
  for (const auto& bytes :
       {""s, "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0"s, "GIF89a\2"s, "\xFF\xD8\xFF"s, "\xFF\xD8\xFF\xE0\xFF\xFFxxxxxxxx"s,
        "\xFF\xD8\xFF\xD9xxxxxxxxxx"s, "<svg width=\"3\"/>"s, "GIF89a\0\0\0\0"s}) {
    CHECK_FALSE(image_size(bytes));
  }
}
