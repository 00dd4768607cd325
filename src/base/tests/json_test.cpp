#include "base/json.hpp"

#include <doctest/doctest.h>

using namespace haechi;

TEST_CASE("what is not JSON is refused") {
  for (const char* text :
       {"", " ", "{", "{]", "{\"a\":1,}", "{'a':1}", "{\"a\":1}x", "{\"a\":1}{}", "/**/{}", "NaN", "01", "\"\t\"",
        "\"\\x\"", "\"\xff\"", "\"\xed\xa0\x80\"", "\"\\ud800\"", "\"\\udc00\"", "tru"}) {
    CAPTURE(text);
    const auto v = parse_json(text);
    REQUIRE_FALSE(v);
    CHECK(v.error().is(Errc::Invalid));
  }
  CHECK(parse_json(std::string_view("\"\\u0000\"")).has_value());
  CHECK_FALSE(parse_json(std::string_view("\"\0\"", 3)));
}

TEST_CASE("depth is bounded") {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK(parse_json(nested(kJsonDepthMax)));
  CHECK_FALSE(parse_json(nested(kJsonDepthMax + 1)));
  CHECK_FALSE(parse_json(std::string(1'000'000, '[')));
}

TEST_CASE("the top level of an object is an object") {
  CHECK(parse_json_object("{}"));
  for (const char* text : {"[]", "null", "1", "\"{}\""}) CHECK_FALSE(parse_json_object(text));
  CHECK_THROWS(must_parse_object("[]"));
}

TEST_CASE("getters give nothing for what is absent or of another type") {
  const auto o =
      must_parse_object(R"({"s":"x","i":5,"d":5.0,"u":18446744073709551615,"b":true,"o":{},"a":[],"n":null})");
  CHECK(get_string(o, "s") == "x");
  CHECK(get_int(o, "i") == 5);
  CHECK(get_bool(o, "b") == true);
  CHECK(get_object(o, "o"));
  CHECK(get_array(o, "a"));
  CHECK(get_flag(o, "missing", true));
  CHECK_FALSE(get_flag(o, "i"));
  for (const char* key : {"d", "u", "s", "n", "missing"}) CHECK_FALSE(get_int(o, key));
  for (const char* key : {"i", "n", "missing"}) {
    CHECK_FALSE(get_string(o, key));
    CHECK_FALSE(get_bool(o, key));
    CHECK(get_object(o, key) == nullptr);
    CHECK(get_array(o, key) == nullptr);
  }
}
