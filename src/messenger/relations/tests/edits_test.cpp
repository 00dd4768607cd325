#include "messenger/relations/relations.hpp"

#include <doctest/doctest.h>

namespace haechi::messenger {
namespace {

Event event(std::string content, std::string sender = "@a:x", std::string type = "m.room.message") {
  Event e;
  e.room_num = 1;
  e.event_id = "$e";
  e.sender = std::move(sender);
  e.type = std::move(type);
  e.finish(content);
  return e;
}

constexpr const char* kEdit =
    R"({"body":"* b","m.new_content":{"body":"b"},"m.relates_to":{"event_id":"$e","rel_type":"m.replace"}})";

TEST_CASE("an edit counts for the same sender, type and room, and only for messages") {
  const Event original = event(R"({"body":"a"})");
  CHECK(is_valid_edit(original, event(kEdit)));
  CHECK_FALSE(is_valid_edit(original, event(kEdit, "@b:x")));
  CHECK_FALSE(is_valid_edit(original, event(kEdit, "@a:x", "org.example")));
  CHECK_FALSE(is_valid_edit(original, event(R"({"m.relates_to":{"event_id":"$e","rel_type":"m.replace"}})")));
  CHECK_FALSE(
      is_valid_edit(original, event(R"({"m.new_content":5,"m.relates_to":{"event_id":"$e","rel_type":"m.replace"}})")));

  Event elsewhere = event(kEdit);
  elsewhere.room_num = 2;
  CHECK_FALSE(is_valid_edit(original, elsewhere));
  Event state = event(kEdit);
  state.state_key = "";
  CHECK_FALSE(is_valid_edit(original, state));
  CHECK_FALSE(is_valid_edit(state, event(kEdit)));
  CHECK_FALSE(is_valid_edit(event(kEdit), event(kEdit)));
}

TEST_CASE("an encrypted edit keeps its new content to itself") {
  const Event original = event(R"({"ciphertext":"x"})", "@a:x", "m.room.encrypted");
  const auto* content = R"({"ciphertext":"y","m.relates_to":{"event_id":"$e","rel_type":"m.replace"}})";
  CHECK(is_valid_edit(original, event(content, "@a:x", "m.room.encrypted")));
  CHECK_FALSE(is_valid_edit(event(R"({"body":"a"})"), event(content, "@a:x", "m.room.encrypted")));
}

}  // namespace
}  // namespace haechi::messenger
