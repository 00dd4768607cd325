#include "messenger/sync/event_fields.hpp"

#include <doctest/doctest.h>

#include "base/json.hpp"

using namespace haechi;

TEST_CASE("an event keeps the fields that were asked for") {
  constexpr std::string_view kEvent =
      R"({"content":{"body":"hi","m.relates_to":{"rel_type":"m.thread"},"a\\b":1,"list":[1,2]},"sender":"@a:hs","type":"m.room.message"})";
  struct Row {
    std::vector<std::string> fields;
    const char* shown;
  };
  for (const auto& r : {
           Row{{}, "{}"},
           Row{{"type"}, R"({"type":"m.room.message"})"},
           Row{{"type", "content.body"}, R"({"type":"m.room.message","content":{"body":"hi"}})"},
           Row{{R"(content.m\.relates_to.rel_type)"}, R"({"content":{"m.relates_to":{"rel_type":"m.thread"}}})"},
           Row{{R"(content.a\\b)"}, R"({"content":{"a\\b":1}})"},
           Row{{"content.body", "content.list"}, R"({"content":{"body":"hi","list":[1,2]}})"},
           Row{{"content.list", "content", "content.body"},
               R"({"content":{"body":"hi","m.relates_to":{"rel_type":"m.thread"},"a\\b":1,"list":[1,2]}})"},
           Row{{"", ".", "..", "content.", "content.body.deeper", "content.list.0", "nothing", "unsigned.age", "\\"},
               "{}"},
       }) {
    CAPTURE(r.shown);
    CHECK(parse_json(messenger::only_fields(kEvent, r.fields)).value() == parse_json(r.shown).value());
  }
}
