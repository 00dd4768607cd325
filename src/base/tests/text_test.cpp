#include "base/text.hpp"

#include <doctest/doctest.h>

using namespace haechi;

TEST_CASE("a JSON string escapes only what it must") {
  const auto quoted = [](std::string_view s) {
    std::string out;
    append_json_string(out, s);
    return out;
  };
  CHECK(quoted("plain") == R"("plain")");
  CHECK(quoted("a\"b\\c") == R"("a\"b\\c")");
  CHECK(quoted("\n\t\x01") == R"("\n\t\u0001")");
  CHECK(quoted("해치") == "\"해치\"");
}

TEST_CASE("globs match as Matrix wants them") {
  struct Row {
    const char* pattern;
    const char* text;
    bool match;
  };
  for (const auto& r : {Row{"*", "", true},
                        {"a*c", "abbbc", true},
                        {"a?c", "ac", false},
                        {"*.example.org", "x.EXAMPLE.org", true},
                        {"", "", true},
                        {"", "a", false},
                        {"**a**", "bab", true},
                        {"a", "b", false}}) {
    CAPTURE(r.pattern);
    CAPTURE(r.text);
    CHECK(glob_match(r.pattern, r.text) == r.match);
  }
}

TEST_CASE("percent decoding refuses broken escapes") {
  CHECK(percent_decode("%21a%3Ab") == "!a:b");
  CHECK_FALSE(percent_decode("%2"));
  CHECK_FALSE(percent_decode("%zz"));
  CHECK(percent_decode("a+b", true) == "a b");
  CHECK(percent_encode("!a:b/é") == "%21a%3Ab%2F%C3%A9");
}

TEST_CASE("UTF-8 is checked strictly") {
  CHECK(is_valid_utf8("해치 🔥"));
  CHECK_FALSE(is_valid_utf8("\xC0\x80"));
  CHECK_FALSE(is_valid_utf8("\xED\xA0\x80"));
  CHECK_FALSE(is_valid_utf8("\xF4\x90\x80\x80"));
  CHECK_FALSE(is_valid_utf8("\xE2\x82"));
  CHECK(utf8_length("해치") == 2);
}

TEST_CASE("base64 is unpadded and reads both alphabets") {
  const std::vector<std::uint8_t> bytes{0xfb, 0xff, 0x00, 0x10};
  CHECK(base64_encode(bytes) == "+/8AEA");
  CHECK(base64url_encode(bytes) == "-_8AEA");
  CHECK(base64_decode("-_8AEA==") == bytes);
  CHECK_FALSE(base64_decode("a b"));
}
