#pragma once
// Events for tests of pure code.

#include "messenger/room/event.hpp"

namespace haechi::messenger::room_test {

struct Made {
  Position pos = 0;
  std::string type = "m.room.message";
  std::string sender = "@alice:hs";
  std::optional<std::string> state_key;
  std::string content = "{}";
  std::string event_id = "$event";
};

inline std::shared_ptr<Event> make_event(Made m) {
  auto e = std::make_shared<Event>();
  e->pos = m.pos;
  e->type = std::move(m.type);
  e->sender = std::move(m.sender);
  e->state_key = std::move(m.state_key);
  e->event_id = std::move(m.event_id);
  e->ts = 1'000;
  e->depth = m.pos;
  e->finish(m.content);
  return e;
}

inline std::shared_ptr<Event> make_member(Position pos, std::string user, std::string membership) {
  return make_event({.pos = pos,
                     .type = "m.room.member",
                     .sender = user,
                     .state_key = user,
                     .content = "{\"membership\":\"" + membership + "\"}",
                     .event_id = "$member" + std::to_string(pos)});
}

}  // namespace haechi::messenger::room_test
