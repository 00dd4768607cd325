#include "messenger/history/search_query.hpp"

#include <doctest/doctest.h>

#include "messenger/errc.hpp"
#include "messenger/history/fold.hpp"

namespace haechi::messenger {
namespace {

Result<SearchQuery> query(std::string_view criteria, std::optional<std::string> next = std::nullopt) {
  const auto body =
      parse_json_object(std::string(R"({"search_categories":{"room_events":)") + std::string(criteria) + "}}");
  REQUIRE(body);
  return SearchQuery::parse(*body, next);
}

Event message(std::string content, std::string type = "m.room.message") {
  Event e;
  e.type = std::move(type);
  e.finish(content);
  return e;
}

TEST_CASE("letters fold to small ones and keep their length") {
  const struct {
    std::string_view text, folded;
  } rows[] = {
      {"", ""},
      {"HeLLo 123 _-[]@`{", "hello 123 _-[]@`{"},
      {"ÀÖ×ØÞß÷ÿ", "àö×øþß÷ÿ"},
      {"ĀāŁłŃńŸŹźŽž", "āāłłńńŸźźžž"},
      {"ΑΒΩαβω", "αβωαβω"},
      {"ЁЏАЯабя", "ёџаяабя"},
      {"해치 한국어 日本", "해치 한국어 日本"},
      {"🔥İI", "🔥İi"},
  };
  for (const auto& row : rows) {
    CHECK(folded(row.text) == row.folded);
    CHECK(folded(row.text).size() == row.text.size());
    CHECK(folded(folded(row.text)) == folded(row.text));
  }
}

TEST_CASE("odd bytes fold to something of the same length") {
  std::uint32_t state = 1;
  for (int n = 0; n < 2000; ++n) {
    std::string text;
    for (int i = 0; i < n % 40; ++i) {
      state = state * 1664525 + 1013904223;
      text += static_cast<char>(state >> 24);
    }
    CHECK(folded(text).size() == text.size());
    CHECK(folded(folded(text)) == folded(text));
  }
}

TEST_CASE("every word must be there, in any order and any case") {
  const auto q = query(R"({"search_term":" Tiger  YARD "})");
  REQUIRE(q);
  CHECK(q->words == std::vector<std::string>{"tiger", "yard"});
  CHECK(q->rank(message(R"({"body":"the yard of a TIGER"})")));
  CHECK_FALSE(q->rank(message(R"({"body":"a tiger"})")));
  CHECK_FALSE(q->rank(message(R"({"formatted_body":"tiger yard"})")));
  CHECK_FALSE(q->rank(message(R"({"body":5})")));
  CHECK_FALSE(q->rank(message(R"({"body":"tiger yard"})", "org.example")));
}

TEST_CASE("parts of Korean words are found") {
  const auto q = query(R"({"search_term":"한국"})");
  REQUIRE(q);
  CHECK(q->rank(message(R"({"body":"대한국어사전"})")));
}

TEST_CASE("more hits in a shorter text rank higher") {
  const auto q = query(R"({"search_term":"x"})");
  REQUIRE(q);
  CHECK(*q->rank(message(R"({"body":"x x"})")) > *q->rank(message(R"({"body":"x y"})")));
  CHECK(*q->rank(message(R"({"body":"x"})")) > *q->rank(message(R"({"body":"x and very much else beside it"})")));
}

TEST_CASE("the quick look never misses what the slow one finds") {
  const struct {
    std::string_view term, content;
  } rows[] = {
      {R"("say \"hi\"")", R"({"body":"I say \"hi\" twice"})"},
      {R"("back\\slash")", R"({"body":"a back\\slash"})"},
      {R"("ÄRGER")", R"({"body":"ärger"})"},
      {R"("tab")", R"({"body":"a\ttab"})"},
      {R"("%_*'")", R"({"body":"signs %_*' only"})"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.term);
    const auto q = query(std::string(R"({"search_term":)") + std::string(row.term) + "}");
    REQUIRE(q);
    CHECK(q->rank(message(std::string(row.content))));
    CHECK(q->may_match(std::string(R"({"content":)") + std::string(row.content) + R"(,"type":"m.room.message"})"));
  }
}

TEST_CASE("keys choose where to look") {
  const auto q = query(R"({"search_term":"x","keys":["content.topic"]})");
  REQUIRE(q);
  CHECK(q->rank(message(R"({"topic":"x"})", "m.room.topic")));
  CHECK_FALSE(q->rank(message(R"({"body":"x"})")));
  CHECK_FALSE(q->rank(message(R"({"name":"x"})", "m.room.name")));
}

TEST_CASE("what is no search is refused") {
  for (const std::string_view bad :
       {R"({})", R"({"search_term":5})", R"({"search_term":"x","keys":"y"})",
        R"({"search_term":"x","keys":["content.other"]})", R"({"search_term":"x","filter":[]})",
        R"({"search_term":"x","filter":{"limit":-1}})", R"({"search_term":"x","order_by":"size"})"}) {
    CAPTURE(bad);
    CHECK_FALSE(query(bad));
  }
  for (const auto* token : {"x", "1~", "~1", "-1~0", "1~-2", "1~2~3"}) {
    CAPTURE(token);
    const auto q = query(R"({"search_term":"x"})", std::string(token));
    REQUIRE_FALSE(q);
    CHECK(q.error().is(Errc::InvalidParam));
  }
}

TEST_CASE("a cursor comes back as it was given") {
  const auto q = query(R"({"search_term":"x"})", cursor_text({.before = 17, .skip = 3}));
  REQUIRE(q);
  CHECK(q->cursor.before == 17);
  CHECK(q->cursor.skip == 3);
}

}  // namespace
}  // namespace haechi::messenger
