#include "messenger/sync/stripped.hpp"

namespace haechi::messenger {

std::string stripped_state(const Room& room, std::string_view user) {
  constexpr std::string_view kShown[] = {"m.room.create",          "m.room.join_rules", "m.room.name",
                                         "m.room.canonical_alias", "m.room.avatar",     "m.room.topic",
                                         "m.room.encryption"};
  std::string out = "[";
  const auto add = [&](const Event* e) {
    if (!e) return;
    if (out.size() > 1) out += ',';
    append_stripped_event(out, *e);
  };
  for (const auto type : kShown) add(room.state(type));
  const Event* own = room.state("m.room.member", user);
  if (own && own->sender != user) add(room.state("m.room.member", own->sender));
  add(own);
  out += ']';
  return out;
}

}  // namespace haechi::messenger
