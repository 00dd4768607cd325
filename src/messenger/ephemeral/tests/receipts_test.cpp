#include <doctest/doctest.h>

#include "messenger/ephemeral/receipts.hpp"
#include "messenger/event/room_version.hpp"

using namespace haechi::messenger;

namespace {

Event event_at(Position pos, std::string_view thread = {}) {
  Event e;
  e.pos = pos;
  if (!thread.empty()) e.relation = Relation{.rel_type = "m.thread", .event_id = std::string(thread), .key = {}};
  return e;
}

}  // namespace

TEST_CASE("an event is in the thread that it names, else in the main one") {
  CHECK(own_thread(event_at(1)) == "main");
  CHECK(own_thread(event_at(1, "$root")) == "$root");
}

TEST_CASE("a receipt covers what came before it in its thread") {
  struct Row {
    std::string_view thread;  // of the receipt
    Position upto;
    Event event;
    bool read;
  };
  const Row rows[] = {
      {"", 5, event_at(5), true},
      {"", 5, event_at(6), false},
      {"", 5, event_at(4, "$root"), true},
      {"main", 5, event_at(4), true},
      {"main", 5, event_at(4, "$root"), false},
      {"$root", 5, event_at(4, "$root"), true},
      {"$root", 5, event_at(4, "$other"), false},
      {"$root", 5, event_at(4), false},
  };
  for (const auto& row : rows) {
    CAPTURE(row.thread);
    CAPTURE(row.event.pos);
    Room room(1, "!room", *find_room_version("12"));
    CHECK_FALSE(has_read(room, "@u:hs", row.event));
    room.receipts["@u:hs"][{"m.read", std::string(row.thread)}] = Receipt{.event_id = "$e", .event_pos = row.upto};
    CHECK(has_read(room, "@u:hs", row.event) == row.read);
    CHECK_FALSE(has_read(room, "@other:hs", row.event));
  }
}
